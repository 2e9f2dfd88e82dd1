// The dialog with the options of a load.

import { byId, setText } from "./dom.js";
import { count } from "./format.js";

// Resolves the promise of the last caller.
let answer = () => {};

/** Open the dialog; resolves to the body of a load request, or to null if it was cancelled. */
export function askHowToLoad(model, isLoaded) {
  const dialog = byId("load-dialog");
  const context = byId("load-context");
  byId("load-form").reset();
  setText(byId("load-title"), `Load ${model.displayName}`);
  setText(byId("load-context-hint"), model.maxContextLength ? `At most ${count(model.maxContextLength)}. More takes more memory.` : "");
  if (model.maxContextLength) context.max = model.maxContextLength;
  else context.removeAttribute("max");
  byId("load-again").hidden = !isLoaded;
  byId("load-llm").hidden = model.type !== "llm";
  dialog.showModal();
  answer(false);
  return new Promise((resolve) => {
    answer = (isConfirmed) => resolve(isConfirmed ? loadRequest(model) : null);
  });
}

function loadRequest(model) {
  const contextLength = byId("load-context").valueAsNumber;
  const parallel = byId("load-parallel").valueAsNumber;
  const unified = byId("load-unified").value;
  const minutes = byId("load-ttl").valueAsNumber;
  const body = { modelKey: model.modelKey, activate: byId("load-activate").checked };
  const loadConfig = {};
  if (contextLength > 0) loadConfig.contextLength = contextLength;
  if (parallel > 0) loadConfig.parallel = parallel;
  if (unified) loadConfig.useUnifiedKvCache = unified === "true";
  // An empty loadConfig would replace the model's profile.
  if (Object.keys(loadConfig).length > 0) body.loadConfig = loadConfig;
  if (minutes > 0) body.ttlSeconds = minutes * 60;
  if (byId("load-another").checked) body.another = true;
  return body;
}

/** Connect the dialog's buttons, once. */
export function prepareLoadDialog() {
  const dialog = byId("load-dialog");
  byId("load-close").addEventListener("click", () => dialog.close());
  byId("load-form").addEventListener("submit", (event) => {
    event.preventDefault();
    answer(true);
    dialog.close();
  });
  dialog.addEventListener("close", () => {
    // The close event is asynchronous: the dialog may have been opened again before it fires.
    if (!dialog.open) answer(false);
  });
}
