// How a model is to be loaded.

import { byId, setText } from "./dom.js";
import { count } from "./format.js";

/** Ask; resolves to the body of a load request, or to null if the model isn't to be loaded after all. */
export function askHowToLoad(model) {
  const dialog = byId("load-dialog");
  const context = byId("load-context");
  byId("load-form").reset();
  setText(byId("load-title"), `Load ${model.displayName}`);
  setText(byId("load-context-hint"), model.maxContextLength ? `At most ${count(model.maxContextLength)}. More takes more memory.` : "");
  if (model.maxContextLength) context.max = model.maxContextLength;
  else context.removeAttribute("max");
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "load" ? wantedOf(model) : null), { once: true });
  });
}

function wantedOf(model) {
  const contextLength = byId("load-context").valueAsNumber;
  const minutes = byId("load-ttl").valueAsNumber;
  const wanted = { modelKey: model.modelKey, activate: byId("load-activate").checked };
  if (contextLength > 0) wanted.loadConfig = { contextLength };
  if (minutes > 0) wanted.ttlSeconds = minutes * 60;
  return wanted;
}

/** Wire the dialog's own buttons, once. */
export function prepareLoadDialog() {
  const dialog = byId("load-dialog");
  byId("load-close").addEventListener("click", () => dialog.close());
  byId("load-form").addEventListener("submit", (event) => {
    event.preventDefault();
    dialog.close("load");
  });
}
