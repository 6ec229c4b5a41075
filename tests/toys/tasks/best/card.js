export function begin(card, controls) {
  const count = card.querySelectorAll(".answer").length;
  controls.querySelector("[data-counted]").textContent = `One of ${count} answers`;
}
