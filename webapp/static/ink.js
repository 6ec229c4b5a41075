// Colours of the page for what is drawn on a canvas, and when they change.
const probe = document.createElement("span");
probe.hidden = true;
document.body.append(probe);

export function colour(token) {
  probe.style.color = `var(${token})`;
  return getComputedStyle(probe).color;
}

export function onRepaint(act) {
  new MutationObserver(act).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", act);
}
