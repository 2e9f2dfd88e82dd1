// Text as the document has it: paragraphs, and code between backticks.

import { make } from "./dom.js";

/** The nodes of one line of text. */
export function words(text) {
  return text.split("`").map((part, index) => (index % 2 ? make("code", {}, part) : part));
}

export const paragraphs = (text) => text.split("\n\n").map((part) => make("p", {}, ...words(part)));

/** Code that scrolls by itself; it can be reached by Tab, so that the keyboard can scroll it too. */
export function code(text, label) {
  return make("div", { class: "code", tabindex: "0", role: "group", "aria-label": label }, make("pre", {}, text));
}

export const json = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));
