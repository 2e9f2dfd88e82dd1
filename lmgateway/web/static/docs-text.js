// Renders the document's texts: paragraphs, and code in backticks.

import { make } from "./dom.js";

/** The nodes of one line of text. */
export function words(text) {
  return text.split("`").map((part, index) => (index % 2 ? make("code", {}, part) : part));
}

export const paragraphs = (text) => text.split("\n\n").map((part) => make("p", {}, ...words(part)));

/** A scrollable code block. It takes the focus, so that the keyboard can scroll it. */
export function code(text, label) {
  return make("div", { class: "code", tabindex: "0", role: "group", "aria-label": label }, make("pre", {}, text));
}

export const json = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));
