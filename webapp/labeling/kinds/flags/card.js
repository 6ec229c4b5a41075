// Who says that no flag holds takes back those that are set.
export function begin(card, controls) {
  controls.querySelector("[name=none]").onclick = () => {
    for (const box of controls.querySelectorAll("[name=holds]:checked")) box.checked = false;
  };
}
