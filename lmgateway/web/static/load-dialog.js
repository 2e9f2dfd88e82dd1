// How a model is to be loaded.

import { byId, setText } from "./dom.js";
import { count } from "./format.js";

// Tells whoever asked last.
let answer = () => {};

/** Ask; resolves to the body of a load request, or to null if the model isn't to be loaded after all. */
export function askHowToLoad(model, isLoaded) {
  const dialog = byId("load-dialog");
  const context = byId("load-context");
  byId("load-form").reset();
  setText(byId("load-title"), `Load ${model.displayName}`);
  setText(byId("load-context-hint"), model.maxContextLength ? `At most ${count(model.maxContextLength)}. More takes more memory.` : "");
  if (model.maxContextLength) context.max = model.maxContextLength;
  else context.removeAttribute("max");
  byId("load-again").hidden = !isLoaded;
  dialog.showModal();
  answer(false);
  return new Promise((resolve) => {
    answer = (isWanted) => resolve(isWanted ? wantedOf(model) : null);
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
    answer(true);
    dialog.close();
  });
  dialog.addEventListener("close", () => {
    // It is told later, and may have been opened again meanwhile.
    if (!dialog.open) answer(false);
  });
}
