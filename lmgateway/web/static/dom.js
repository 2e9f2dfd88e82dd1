// Creates and updates elements. Text is always set as text: nothing from the network is ever parsed as HTML.

export const byId = (id) => document.getElementById(id);

/** Make an element; `attributes` are attributes, "on…" are listeners, children are nodes or text. */
export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

/** Set the text only if it differs: screen readers would announce it again, and a selection would be lost. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Replace the children unless they are equal, for the reasons of setText. */
export function setChildren(parent, nodes) {
  const isSame = nodes.length === parent.children.length && nodes.every((node, index) => node.isEqualNode(parent.children[index]));
  if (!isSame) parent.replaceChildren(...nodes);
}

/**
 * Make the parent's children match the items, in order. Nodes of unchanged items are reused, so that focus,
 * selection and hover survive. If a removed node has the focus, it moves to the section's heading.
 */
export function reconcile(parent, items, keyOf, create, update) {
  const known = new Map(Array.from(parent.children, (node) => [node.dataset.key, node]));
  const itemsByKey = new Map();
  for (const item of items) {
    let key = keyOf(item);
    // Keys may be request ids, which clients choose and may repeat.
    while (itemsByKey.has(key)) key += "+";
    itemsByKey.set(key, item);
  }
  for (const [key, node] of known) {
    if (!itemsByKey.has(key)) remove(node);
  }
  const focused = document.activeElement;
  let place = parent.firstElementChild;
  for (const [key, item] of itemsByKey) {
    let node = known.get(key);
    if (node === undefined) {
      node = create(item);
      node.dataset.key = key;
    }
    update(node, item);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
  // A node that is moved loses it.
  if (parent.contains(focused) && focused !== document.activeElement) focused.focus({ preventScroll: true });
}

function remove(node) {
  const heading = node.closest("section")?.querySelector("h2[tabindex]");
  const hadFocus = node.contains(document.activeElement);
  node.remove();
  if (hadFocus) heading?.focus({ preventScroll: true });
}

/** A button that is inert while its action runs. Not with `disabled`, which would take the focus away. */
export function actionButton(label, action, attributes = {}) {
  const button = make("button", { type: "button", ...attributes }, label);
  button.addEventListener("click", async () => {
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    try {
      await action();
    } finally {
      button.removeAttribute("aria-disabled");
    }
  });
  return button;
}

/** The nodes of a text in which backticks enclose code. */
export const marked = (text) => text.split("`").map((part, index) => (index % 2 ? make("code", {}, part) : part));

/** A select's options from [value, label] pairs. */
export const options = (pairs) => pairs.map(([value, label]) => make("option", { value }, label));
