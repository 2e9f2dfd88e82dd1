// A model's text on the page: as it is, with its fenced code in boxes. It is never parsed as HTML.

import { make, setText } from "./dom.js";

const FENCE = /^\s*(`{3,}|~{3,})(.*)$/;

/** Split a text into {isCode, text} at its code fences. A fence that isn't closed yet goes on to the end. */
export function segments(text) {
  const found = [];
  let lines = [];
  let fence = null;
  const end = () => {
    const isEmpty = fence === null && lines.every((line) => line.trim() === "");
    if (!isEmpty) found.push({ isCode: fence !== null, text: lines.join("\n") });
    lines = [];
  };
  for (const line of text.split("\n")) {
    const [, marks, rest] = FENCE.exec(line) ?? [];
    const opens = fence === null && marks !== undefined && !rest.includes("`");
    const closes = fence !== null && marks?.startsWith(fence) && rest.trim() === "";
    if (opens || closes) {
      end();
      fence = opens ? marks : null;
    } else {
      lines.push(line);
    }
  }
  end();
  return found;
}

/** Show a text in a box. Nodes of unchanged segments stay, so that a selection survives while a text grows. */
export function showText(box, text) {
  const parts = segments(text);
  parts.forEach(({ isCode, text: part }, index) => {
    const kind = isCode ? "PRE" : "P";
    let node = box.children[index];
    if (node?.firstElementChild?.tagName !== kind) {
      const fresh = isCode ? codeBox() : make("div", { class: "chat-text" }, make("p"));
      if (node) node.replaceWith(fresh);
      else box.append(fresh);
      node = fresh;
    }
    setText(node.firstElementChild, part);
  });
  while (box.children.length > parts.length) box.lastElementChild.remove();
}

const codeBox = () => make("div", { class: "code", tabindex: "0", role: "group", "aria-label": "Code" }, make("pre"));
