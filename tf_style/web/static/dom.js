// Elements, made and found.

export const $ = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-")) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

export const button = (text, onclick, properties = {}) =>
  make("button", { type: "button", onclick, ...properties }, text);

// Puts others in place of what is there. What had the focus has it again, or else the whole.
export function renew(parent, ...children) {
  const nameOf = (element) => element.dataset.key ?? element.getAttribute("aria-label");
  const active = parent.contains(document.activeElement) ? nameOf(document.activeElement) : undefined;
  parent.replaceChildren(...children);
  if (active === undefined) return;
  parent.tabIndex = -1;
  const again = active && [...parent.querySelectorAll("button, input")].find((each) => nameOf(each) === active);
  (again || parent).focus({ preventScroll: true });
}

// For readers of the screen, at most every few seconds unless it matters.
let last = 0;
export function say(text, { isUrgent = true } = {}) {
  if (!isUrgent && Date.now() - last < 10_000) return;
  last = Date.now();
  $("live").textContent = text;
}

export function about(seconds) {
  if (seconds < 1) return "less than a second";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

export const clock = (seconds) =>
  new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
