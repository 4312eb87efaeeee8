/**
 * Makes an element. Properties are attributes, but for those that begin with "on", which are listeners; one that is
 * false, null or undefined is left out. Children are elements or text, and text is never markup.
 */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === false || value === null || value === undefined) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

export function button(label, onclick, properties = {}) {
  return element("button", { type: "button", onclick, ...properties }, label);
}

/** Writes a text only where it is another one, so that nobody is told the same twice. */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

let ids = 0;

/** An id that no other element of the page has, for labels and descriptions to refer to. */
export function newId(prefix) {
  ids += 1;
  return `${prefix}-${ids}`;
}
