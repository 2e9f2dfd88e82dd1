// The models on disk and in memory, the loads in progress, and the actions on them.

import { ApiError, call } from "./api.js";
import { onBox } from "./boxes.js";
import { byId, setText } from "./dom.js";
import { askHowToLoad } from "./load-dialog.js";
import { showModels } from "./models-view.js";
import { notify, notifyError, notifyWarning } from "./notices.js";
import { ApiSchema } from "./schema.js";
import { askHowToUnload } from "./unload-dialog.js";
import { soon, whileVisible } from "./visible.js";

// Poll, because LM Studio loads on demand and unloads idle models without an event.
const REFRESH_SECONDS = 30;
// A mistake in a load's settings is answered at once: after so long the dialog isn't needed any more.
const ACCEPTED_MS = 5000;

const nameOf = (load) => JSON.stringify([load.modelKey, load.instanceId ?? null]);

export class Models {
  #listing = null;
  // Until the first answer, which may be an error.
  #isAsking = true;
  #active = null;
  #swap = null;
  // Whether this key may read the line.
  #isLive = false;
  #schema = new ApiSchema();
  #loading = new Map();
  #cancelled = new Set();
  // What to do once LM Studio has begun a load of this page.
  #accepted = new Map();
  // The running requests for models that weren't in memory when they began.
  #asking = new Set();
  #refreshSoon = soon(100, () => this.#refresh());

  start() {
    for (const [id, event] of [["models-find", "input"], ["models-show", "change"]]) byId(id).addEventListener(event, () => this.#show());
    this.#show();
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

  /** Take in a report of the line, which is newer than the list. */
  queueChanged({ instances, waiting, swap }) {
    this.#swap = swap;
    this.#isLive = true;
    const known = new Map(instances.map((one) => [`${one.box}/${one.instance}`, one]));
    const loaded = this.#listing?.loaded.map((model) => withReport(model, known.get(`${model.box}/${model.identifier}`), waiting));
    if (loaded) this.#listing = { ...this.#listing, loaded };
    this.#show();
  }

  #modelsChanged(name, data) {
    if (name === "model_load_start") this.#loading.set(nameOf(data), { ...data, progressRaw: null });
    else if (name === "model_load_progress") this.#loading.set(nameOf(data), data);
    else if (name === "model_load_complete") this.#loading.delete(nameOf(data));
    else if (data.operation === "model_load") this.#loadFailed(data.modelKey);
    if (/^model_load_(start|progress)$/.test(name)) this.#accepted.get(nameOf(data))?.();
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
    // The gateway knows the active models itself. LM Studio may take seconds, or not answer.
    const [list, active] = await Promise.all([answerOf("admin/models"), answerOf("admin/models/active", (active) => this.#showActive(active))]);
    this.#isAsking = false;
    // Don't show outdated ones.
    this.#listing = list.answer;
    this.#active = active.answer;
    setText(byId("models-mistake"), list.mistake ?? active.mistake ?? "");
    this.#show();
  }

  #showActive(active) {
    this.#active = active;
    this.#show();
  }

  #show() {
    showModels({ listing: this.#listing, isAsking: this.#isAsking, active: this.#active, loading: this.#loading, swap: this.#swap }, this);
  }

  async load(model) {
    try {
      const settings = await this.#schema.fieldsOf("/admin/models/load");
      const isLoaded = this.#isLoaded(model.modelKey);
      // Until the load has ended, which may be long after its dialog was closed: don't block the button.
      askHowToLoad(model, { settings, isLoaded, send: (body, close) => this.#load(body, close) });
    } catch (error) {
      notifyError(error);
    }
  }

  /** Send the request, which is answered when the model is loaded. Throws ApiError. */
  async #load(body, close) {
    const name = nameOf(body);
    const accept = () => {
      this.#accepted.delete(name);
      if (!this.#loading.has(name)) this.#loading.set(name, { ...body, progressRaw: null });
      this.#show();
      close();
      byId("models-title").focus({ preventScroll: true });
    };
    this.#cancelled.delete(name);
    this.#accepted.set(name, accept);
    const timer = setTimeout(accept, ACCEPTED_MS);
    try {
      succeeded(await call("POST", "admin/models/load", body));
    } catch (error) {
      if (!this.#cancelled.delete(name)) throw error;
    } finally {
      clearTimeout(timer);
      this.#accepted.delete(name);
      this.#loading.delete(name);
      this.#refreshSoon();
    }
  }

  async cancelLoad(load) {
    this.#cancelled.add(nameOf(load));
    await this.#do("load/cancel", { modelKey: load.modelKey, instanceId: load.instanceId ?? undefined });
  }

  async unload({ modelKey, identifier, displayName, box }) {
    const body = { modelKey, instanceId: identifier, box: onBox(box) ? box : undefined };
    const running = await this.#runningOn(identifier, box);
    if (running === 0) return this.#do("unload", body);
    const settings = await this.#schema.fieldsOf("/admin/models/unload").catch(() => []);
    const how = await askHowToUnload(identifier === modelKey ? displayName : identifier, running, settings);
    // Not awaited: while it drains, the button may be used again, to end its requests.
    if (how !== undefined) this.#do("unload", { ...body, ...how });
  }

  // The line knows it now; the page may not have asked since a request began.
  async #runningOn(identifier, box) {
    try {
      if (this.#isLive) this.queueChanged(await call("GET", "debug/queue"));
      else await this.#refresh();
    } catch {
      // What the page knows has to do.
    }
    return this.#listing?.loaded.find((model) => model.identifier === identifier && model.box === box)?.running ?? 0;
  }

  activate({ modelKey, identifier, type }) {
    const instanceId = identifier === modelKey ? undefined : identifier;
    return this.#do("activate", { modelKey, instanceId, type });
  }

  async #do(action, message) {
    try {
      succeeded(await call("POST", `admin/models/${action}`, message));
    } catch (error) {
      notifyError(error);
    }
    this.#refreshSoon();
  }
}

/** Ask for a path. Resolves to {answer, mistake}, one of which is null; `received` gets the answer at once. */
async function answerOf(path, received = () => {}) {
  try {
    const answer = await call("GET", path);
    received(answer);
    return { answer, mistake: null };
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    return { answer: null, mistake: error.message };
  }
}

function succeeded({ message, warnings }) {
  if (warnings?.length) notifyWarning(message);
  else notify(message);
}

// The line doesn't know a model before LM Studio has listed it.
function withReport(model, report, waiting) {
  if (report === undefined) return model;
  const { state, slots, ours, idleMs, pinned, origin } = report;
  const inLine = waiting.filter((one) => one.model === model.modelKey).length;
  return { ...model, state, slots, idleMs, pinned, origin, running: ours, waiting: inLine };
}
