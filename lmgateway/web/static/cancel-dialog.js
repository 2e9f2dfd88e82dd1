// The dialog that is shown before a request is cancelled.

import { call } from "./api.js";
import { whoOf } from "./describe.js";
import { openDialog } from "./dialog.js";
import { byId, make } from "./dom.js";
import { notify } from "./notices.js";

const whose = (one) => `${[whoOf(one), one.user].filter(Boolean).join(" · ")}'s request`;

/** Ask, and cancel the request. Rows move up when a request ends, so a second tap must not cancel the next one. */
export async function askToCancel(one) {
  const model = one.model ?? one.servedModel;
  const outcome = await openDialog({
    title: `Cancel ${whose(one)}${model ? ` to ${model}` : ""}?`,
    content: [make("p", {}, "Its app gets an error in place of the rest of the answer.")],
    confirm: "Cancel request",
    mood: "danger",
    cancel: "Keep it",
    submit: () => cancel(one.requestId),
  });
  if (outcome) notify(`${whose(one)} ${outcome}.`);
  // The row, with the button that had the focus, may be gone.
  if (document.activeElement === document.body) byId("running-title").focus({ preventScroll: true });
}

async function cancel(requestId) {
  try {
    await call("DELETE", `debug/requests/${encodeURIComponent(requestId)}`);
    return "was cancelled";
  } catch (error) {
    if (error.status === 404) return "had already ended";
    throw error;
  }
}
