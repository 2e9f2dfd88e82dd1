// The models in memory and on disk, the loads in progress, and the actions on them.

import { call } from "./api.js";
import { byId, setText } from "./dom.js";
import { plural } from "./format.js";
import { askHowToLoad } from "./load-dialog.js";
import { showModels } from "./models-view.js";
import { notify, notifyError, notifyWarning } from "./notices.js";
import { soon, whileVisible } from "./visible.js";

// Poll, because LM Studio loads on demand and unloads idle models without an event.
const REFRESH_SECONDS = 30;

const nameOf = (load) => JSON.stringify([load.modelKey, load.instanceId ?? null]);

export class Models {
  #listing = null;
  #active = {};
  #loading = new Map();
  #cancelled = new Set();
  // The running requests for models that weren't in memory when they began.
  #asking = new Set();
  #refreshSoon = soon(100, () => this.#refresh());

  start() {
    whileVisible(REFRESH_SECONDS, () => this.#refreshSoon());
  }

  refresh() {
    this.#refreshSoon();
  }

  /** The keys of the models on disk; none while they are unknown. */
  keys() {
    return this.#listing?.downloaded.map((model) => model.modelKey) ?? [];
  }

  /** Handle an event of the gateway. */
  onEvent({ name, data }) {
    const operation = name === "error" ? `${data.operation ?? ""}_` : name;
    if (name === "lagged") this.reconnected();
    else if (operation.startsWith("model_")) this.#modelsChanged(name, data);
    else if (operation.startsWith("inference_")) this.#requestChanged(name, data);
  }

  #modelsChanged(name, data) {
    if (name === "model_load_start") this.#loading.set(nameOf(data), { ...data, progressRaw: null });
    else if (name === "model_load_progress") this.#loading.set(nameOf(data), data);
    else if (name === "model_load_complete") this.#loading.delete(nameOf(data));
    else if (data.operation === "model_load") this.#loadFailed(data.modelKey);
    if (name !== "model_load_progress") this.#refreshSoon();
    this.#show();
  }

  // LM Studio loads a requested model without an event: list again when the request has ended.
  #requestChanged(name, { requestId, model }) {
    if (name !== "inference_start") {
      if (this.#asking.delete(requestId)) this.#refreshSoon();
    } else if (model !== null && !this.#isLoaded(model)) this.#asking.add(requestId);
  }

  #isLoaded(name) {
    return this.#listing?.loaded.some((model) => [model.identifier, model.modelKey, model.path].includes(name)) ?? false;
  }

  /** Events may have been lost. A load in progress reappears with its next progress event. */
  reconnected() {
    this.#loading.clear();
    this.#asking.clear();
    this.#refreshSoon();
  }

  // The event has no instance. Another load of the model reappears with its next progress event.
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
      // Don't show an outdated list.
      this.#listing = null;
    }
    setText(byId("models-mistake"), mistake);
    this.#show();
  }

  #show() {
    showModels(this.#listing, this.#active, this.#loading, this);
  }

  async load(model) {
    const body = await askHowToLoad(model, this.#isLoaded(model.modelKey));
    if (body === null) return;
    const name = nameOf(body);
    this.#cancelled.delete(name);
    if (!this.#loading.has(name)) this.#loading.set(name, { ...body, progressRaw: null });
    this.#show();
    byId("models-title").focus({ preventScroll: true });
    // The response is sent when the model is loaded: don't block the button until then.
    this.#do("load", body, () => this.#cancelled.delete(name)).finally(() => this.#loading.delete(name));
  }

  async cancelLoad(load) {
    this.#cancelled.add(nameOf(load));
    await this.#do("load/cancel", { modelKey: load.modelKey, instanceId: load.instanceId ?? undefined });
  }

  async unload({ modelKey, identifier, displayName }) {
    const others = this.#listing?.loaded.filter((model) => model.identifier !== identifier) ?? [];
    // A request's model is the instance of exactly that name, otherwise any instance of the model.
    const names = others.some((model) => model.identifier === modelKey) ? [identifier] : [identifier, modelKey];
    const busy = (await running()).filter((one) => names.includes(one.model)).length;
    const question = `${plural(busy, "request is", "requests are")} running on ${displayName} and would be aborted. Unload it?`;
    if (busy > 0 && !confirm(question)) return;
    await this.#do("unload", { modelKey, instanceId: identifier });
  }

  activate({ modelKey, identifier, type }) {
    const instanceId = identifier === modelKey ? undefined : identifier;
    return this.#do("activate", { modelKey, instanceId, type });
  }

  async #do(action, message, isExpected = () => false) {
    try {
      const answer = await call("POST", `admin/models/${action}`, message);
      if (answer.warnings?.length) notifyWarning(answer.message);
      else notify(answer.message);
    } catch (error) {
      if (!isExpected(error)) notifyError(error);
    }
    this.#refreshSoon();
  }
}

// Without the list of requests, unload without a warning.
async function running() {
  try {
    return (await call("GET", "debug/requests")).running;
  } catch {
    return [];
  }
}
