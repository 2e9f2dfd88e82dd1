// Dialogs that exist only while they are open, so that nothing in them outlasts them.

import { ApiError } from "./api.js";
import { make, marked, setText } from "./dom.js";
import { notifyError } from "./notices.js";

/**
 * Open a modal dialog. Its main button runs `submit`, and closes it unless that throws an ApiError, which `explain`
 * turns into the sentence to show. `submit` may close it sooner by the function that it gets; an error is a notice
 * then. Resolves when it is closed to what `submit` returned; undefined if cancelled.
 */
export function openDialog({ title, content, confirm, mood = "primary", cancel = "Cancel", wide = false, submit, explain }) {
  const mistake = make("p", { class: "mistake", role: "alert" });
  const button = make("button", { class: mood, type: "submit" }, confirm);
  const leave = cancel && make("button", { class: "quiet", type: "button", onclick: () => dialog.close() }, cancel);
  const form = make("form", { method: "dialog" });
  form.append(make("h2", { id: "dialog-title" }, title), ...content, make("div", { class: "foot" }, mistake, make("div", { class: "bar end" }, leave ?? "", button)));
  const dialog = make("dialog", { class: wide ? "wide" : null, "aria-labelledby": "dialog-title" }, form);
  let running;

  async function run() {
    button.setAttribute("aria-disabled", "true");
    setText(mistake, "");
    try {
      const result = await submit?.(() => dialog.close());
      dialog.close();
      // Not at the close event, which follows later: a secret would be in the page for so long.
      dialog.remove();
      return result;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (dialog.open) mistake.replaceChildren(...marked(explain?.(error) ?? error.message));
      else notifyError(error);
    } finally {
      button.removeAttribute("aria-disabled");
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (button.getAttribute("aria-disabled") !== "true") running = run();
  });
  document.body.append(dialog);
  dialog.showModal();
  // A page that is left may be kept for the way back.
  const forget = () => dialog.remove();
  addEventListener("pagehide", forget);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      removeEventListener("pagehide", forget);
      dialog.remove();
      // The dialog may be closed while its request is under way: its result is still needed.
      resolve(running);
    });
  });
}
