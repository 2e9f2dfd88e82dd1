// The models: what there is, what is being loaded, and what can be done with them.

import { call } from "./api.js";
import { byId, setText } from "./dom.js";
import { plural } from "./format.js";
import { askHowToLoad } from "./load-dialog.js";
import { showModels } from "./models-view.js";
import { complain, tell } from "./notices.js";
import { soon, whileVisible } from "./visible.js";

// LM Studio loads on demand and unloads what is idle without telling anybody.
const REFRESH_SECONDS = 30;

const nameOf = (load) => JSON.stringify([load.modelKey, load.instanceId ?? null]);

export class Models {
  #listing = null;
  #active = {};
  #loading = new Map();
  #takenBack = new Set();
  // Requests for models that weren't in memory.
  #asking = new Set();
  #refreshSoon = soon(100, () => this.#refresh());

  start() {
    whileVisible(REFRESH_SECONDS, () => this.#refreshSoon());
  }

  refresh() {
    this.#refreshSoon();
  }

  /** The gateway told of something. */
  onEvent({ name, data }) {
    const operation = name === "error" ? `${data.operation ?? ""}_` : name;
    if (name === "lagged") this.reconnected();
    else if (operation.startsWith("model_")) this.#modelsChanged(name, data);
    else if (operation.startsWith("inference_")) this.#requestTold(name, data);
  }

  #modelsChanged(name, data) {
    if (name === "model_load_start") this.#loading.set(nameOf(data), { ...data, progressRaw: null });
    else if (name === "model_load_progress") this.#loading.set(nameOf(data), data);
    else if (name === "model_load_complete") this.#loading.delete(nameOf(data));
    else if (data.operation === "model_load") this.#loadFailed(data.modelKey);
    if (name !== "model_load_progress") this.#refreshSoon();
    this.#show();
  }

  // LM Studio loads what a request asks for, and tells nobody; when the request has ended, it is in memory.
  #requestTold(name, { requestId, model }) {
    if (name !== "inference_start") {
      if (this.#asking.delete(requestId)) this.#refreshSoon();
    } else if (model !== null && !this.#isLoaded(model)) this.#asking.add(requestId);
  }

  #isLoaded(name) {
    return this.#listing?.loaded.some((model) => [model.identifier, model.modelKey, model.path].includes(name)) ?? false;
  }

  /** Events may have been missed. A load that goes on shows up again with its next progress. */
  reconnected() {
    this.#loading.clear();
    this.#asking.clear();
    this.#refreshSoon();
  }

  // The event doesn't say which instance. Another one's next progress brings that back.
  #loadFailed(modelKey) {
    for (const [name, load] of this.#loading) {
      if (load.modelKey === modelKey) this.#loading.delete(name);
    }
  }

  async #refresh() {
    let mistake = "";
    try {
      [this.#listing, this.#active] = await Promise.all([
        call("GET", "admin/models"),
        call("GET", "admin/models/active"),
      ]);
    } catch (error) {
      mistake = error.message;
      // What was in memory a minute ago may not be there any more.
      this.#listing = null;
    }
    setText(byId("models-mistake"), mistake);
    this.#show();
  }

  #show() {
    showModels(this.#listing, this.#active, this.#loading, this);
  }

  async load(model) {
    const wanted = await askHowToLoad(model, this.#isLoaded(model.modelKey));
    if (wanted === null) return;
    const name = nameOf(wanted);
    this.#takenBack.delete(name);
    if (!this.#loading.has(name)) this.#loading.set(name, { ...wanted, progressRaw: null });
    this.#show();
    byId("models-title").focus({ preventScroll: true });
    // The answer comes when the model is loaded; the button needn't wait for it.
    this.#do("load", wanted, () => this.#takenBack.delete(name)).finally(() => this.#loading.delete(name));
  }

  async cancelLoad(load) {
    this.#takenBack.add(nameOf(load));
    await this.#do("load/cancel", { modelKey: load.modelKey, instanceId: load.instanceId ?? undefined });
  }

  async unload({ modelKey, identifier, displayName }) {
    const others = this.#listing?.loaded.filter((model) => model.identifier !== identifier) ?? [];
    // LM Studio asks the instance of exactly that name, and else any of the model.
    const names = others.some((model) => model.identifier === modelKey) ? [identifier] : [identifier, modelKey];
    const busy = (await running()).filter((one) => names.includes(one.model)).length;
    const question = `${plural(busy, "request is", "requests are")} being answered by ${displayName} and would break off. Unload it?`;
    if (busy > 0 && !confirm(question)) return;
    await this.#do("unload", { modelKey, instanceId: identifier });
  }

  activate({ modelKey, identifier, type }) {
    const instanceId = identifier === modelKey ? undefined : identifier;
    return this.#do("activate", { modelKey, instanceId, type });
  }

  async #do(action, message, isExpected = () => false) {
    try {
      tell((await call("POST", `admin/models/${action}`, message)).message);
    } catch (error) {
      if (!isExpected(error)) complain(error);
    }
    this.#refreshSoon();
  }
}

// To unload a model that nobody may be asking doesn't depend on whether that is known.
async function running() {
  try {
    return (await call("GET", "debug/requests")).running;
  } catch {
    return [];
  }
}
