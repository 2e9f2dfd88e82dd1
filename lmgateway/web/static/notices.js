// Short sentences about what was just done, or why it wasn't.

import { byId, make } from "./dom.js";

const SHOWN_MS = 8000;
const MOST = 4;

/** Say that something was done; it goes away by itself. */
export function tell(sentence) {
  const notice = show(sentence, "good");
  setTimeout(() => notice.remove(), SHOWN_MS);
}

/** Say what went wrong; it stays until it is dismissed. */
export function complain(error) {
  show(error.message, "bad");
}

function show(sentence, mood) {
  const close = () => notice.remove();
  const notice = make(
    "div",
    { class: `notice ${mood}` },
    make("p", {}, sentence),
    make("button", { type: "button", class: "quiet", "aria-label": `Dismiss: ${sentence}`, onclick: close }, "Dismiss"),
  );
  const box = byId("notices");
  box.append(notice);
  while (box.children.length > MOST) box.firstElementChild.remove();
  return notice;
}
