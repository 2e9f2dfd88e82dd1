// Notices about the outcome of an action.

import { byId, make } from "./dom.js";

const SHOWN_MS = 8000;
const MOST = 4;

/** Show that an action succeeded, for some seconds. */
export function notify(sentence) {
  const notice = show(sentence, "good");
  setTimeout(() => notice.remove(), SHOWN_MS);
}

/** Show a sentence with a button that runs an action, until either is used. */
export function notifyWith(sentence, label, action) {
  const notice = show(sentence, "good", make("button", { type: "button", onclick: () => (action(), notice.remove()) }, label));
}

/** Show that an action succeeded otherwise than asked for, until it is dismissed. */
export function notifyWarning(sentence) {
  show(sentence, "warn");
}

/** Show that an action failed, until it is dismissed. */
export function notifyError(error) {
  show(error.message, "bad");
}

function show(sentence, mood, ...buttons) {
  const close = () => notice.remove();
  const notice = make(
    "div",
    { class: `notice ${mood}` },
    make("p", {}, sentence),
    ...buttons,
    make("button", { type: "button", class: "quiet", "aria-label": `Dismiss: ${sentence}`, onclick: close }, "Dismiss"),
  );
  const box = byId("notices");
  box.append(notice);
  while (box.children.length > MOST) box.firstElementChild.remove();
  return notice;
}
