// What a project warns of is out of sight by the style sheet; here it is out of reach too, until somebody shows it.
export const isVeiled = (card) => Boolean(card?.querySelector(".unveil:not(:checked)"));

export function veil(card) {
  for (const part of card.children) if (!part.matches(".veil")) part.inert = isVeiled(card);
}

document.addEventListener("change", ({ target }) => {
  if (target.matches(".unveil")) veil(target.closest(".task"));
});
