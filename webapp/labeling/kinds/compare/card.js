// On a narrow screen one answer is shown at a time: every pair begins with A, unless both are wanted.
export function begin(card, controls) {
  if (controls.querySelector("#view-b").checked) controls.querySelector("#view-a").checked = true;
}
