// Copying a text to the clipboard.

import { make, setText } from "./dom.js";

/** A button that copies the text of `node`, and a line that says whether it did. */
export function copyButton(node, label, attributes = {}) {
  const result = make("span", { class: "hint", role: "status" });
  const button = make("button", { type: "button", ...attributes }, label);
  button.addEventListener("click", async () => {
    setText(result, "");
    setText(result, (await copy(node)) ? "Copied." : "The browser doesn't allow it. The text is selected: press Ctrl+C.");
  });
  return make("div", { class: "copy" }, button, result);
}

async function copy(node) {
  getSelection().selectAllChildren(node);
  try {
    await navigator.clipboard.writeText(node.textContent);
    return true;
  } catch {
    // Without TLS a browser has no clipboard for scripts except on its own machine.
    return document.execCommand("copy");
  }
}
