// Elements, made and kept. Text from clients reaches the page through textContent and title alone.

const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/** The text with what can't be seen, or turns the text around, written out. */
export function visible(text) {
  return String(text).replace(HIDDEN, (character) => {
    const code = character.charCodeAt(0);
    return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

/** A new element; children are elements or texts. */
export function element(tag, className = "", ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children.map((child) => (child instanceof Node ? child : visible(child))));
  return made;
}

export const byId = (id) => document.getElementById(id);

/** Change the text only where it differs, so that a selection and a screen reader's place stay. */
export function setText(target, text) {
  const shown = visible(text);
  if (target.textContent !== shown) target.textContent = shown;
}

export function setClass(target, className) {
  if (target.className !== className) target.className = className;
}

export function setTitle(target, text) {
  const shown = visible(text.slice(0, 400));
  if (target.title !== shown) target.title = shown;
}

export function setHidden(target, hidden) {
  if (target.hidden !== hidden) target.hidden = hidden;
}

/**
 * Make the children of `parent` those for `items`, in their order. `kept` maps keys to elements: an element that is there
 * already is updated and not moved unless it must be, so that focus and opened rows outlast a refresh.
 */
export function keepChildren(parent, items, kept, keyOf, make, update) {
  const wanted = new Map(items.map((item) => [keyOf(item), item]));
  for (const [key, child] of kept) {
    if (!wanted.has(key)) {
      child.remove();
      kept.delete(key);
    }
  }
  let next = parent.firstElementChild;
  for (const [key, item] of wanted) {
    let child = kept.get(key);
    if (!child) {
      child = make(item);
      kept.set(key, child);
    }
    update(child, item);
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
  }
}
