// Renders the list of models.

import { actionButton, byId, make, reconcile, setText } from "./dom.js";
import { count, duration, plural, size } from "./format.js";
import { instanceRow, updateInstance } from "./model-instances.js";
import { matching, rowsOf } from "./models-rows.js";

// A browser takes seconds for thousands of rows.
const MOST = 200;
const LOADABLE = ["llm", "embedding"];
const STEPS = { draining: "waiting for its running requests", unloading: "unloading", loading: "loading" };
const ASKING = "Asking LM Studio…";
const NONE = "LM Studio has no models yet. Download one there, and it appears here.";

/** Render the list; `models` handles the buttons. `listing` and `active` are null while they are unknown. */
export function showModels({ listing, isAsking, active, loading, swap }, models) {
  const titles = new Map(listing?.downloaded.map((model) => [model.modelKey, model.displayName]));
  const titleOf = (key) => titles.get(key) ?? key;
  const rows = rowsOf(listing, loading);
  const found = matching(rows, byId("models-find").value, byId("models-show").value);
  const shown = found.slice(0, MOST);
  reconcile(byId("models-list"), shown, (row) => row.model.modelKey, () => modelRow(models), (node, row) => updateModel(node, row, models));
  byId("models-list").hidden = shown.length === 0;
  byId("models-bar").hidden = rows.length === 0;
  setText(byId("models-count"), counted(rows, found, shown));
  setText(byId("models-empty"), isAsking ? ASKING : rows.length > 0 ? "No model matches." : NONE);
  byId("models-empty").hidden = (listing === null && !isAsking) || shown.length > 0;
  showSwap(swap, titleOf);
  showActive({ listing, isAsking, active }, titleOf);
}

function counted(rows, found, shown) {
  const all = plural(rows.length, "model", "models");
  const inMemory = rows.filter(({ instances }) => instances.length > 0).length;
  const listed = found.length < rows.length ? `${count(found.length)} of ${all}` : all;
  const cut = shown.length < found.length && `the first ${count(shown.length)} are shown`;
  return [listed, `${inMemory === 0 ? "none" : count(inMemory)} in memory`, cut].filter(Boolean).join(" · ");
}

function showSwap(swap, titleOf) {
  const line = byId("models-swap");
  line.hidden = swap === null;
  if (swap === null) return;
  const { from, to, state, sinceMs, etaMs } = swap;
  const eta = etaMs !== null && `done in about ${duration(etaMs)}`;
  setText(line, [`Replacing ${titleOf(from)} with ${titleOf(to)}`, `${STEPS[state] ?? state} for ${duration(sinceMs)}`, eta].filter(Boolean).join(" · "));
}

// Rows are reused: a button acts on the model that its row shows now.
const shownModels = new WeakMap();

function modelRow(models) {
  const title = make("div", { class: "title" }, make("p", { class: "name" }), make("span", { class: "badge quiet pinned" }, "Pinned"));
  const load = actionButton("Load", () => models.load(shownModels.get(node)), { class: "load" });
  const about = make("div", { class: "what" }, title, make("p", { class: "sub about" }), make("p", { class: "sub aliases" }));
  const instances = make("ul", { role: "list", class: "instances" });
  const node = make("li", { class: "model" }, make("div", { class: "row" }, about, make("div", { class: "actions" }, load)), instances);
  return node;
}

function updateModel(node, { model, isOnDisk, instances, loads }, models) {
  const { modelKey, displayName, aliases = [] } = model;
  shownModels.set(node, model);
  setText(node.querySelector(".name"), displayName);
  node.querySelector(".badge.pinned").hidden = !(model.pinned || instances.some((one) => one.pinned));
  const own = modelKey === displayName ? null : modelKey;
  const most = model.maxContextLength && `up to ${count(model.maxContextLength)} tokens of context`;
  // They wait for the model: none of its instances has a line of its own.
  const waiting = instances.length > 1 && instances[0].waiting > 0 && `${count(instances[0].waiting)} waiting`;
  const facts = [own, kindOf(model), model.paramsString, model.quantization, size(model.size), most, !isOnDisk && "not on disk", waiting];
  setText(node.querySelector(".about"), facts.filter(Boolean).join(" · "));
  node.querySelector(".aliases").hidden = aliases.length === 0;
  setText(node.querySelector(".aliases"), `Also called ${aliases.join(", ")}`);
  const load = node.querySelector(".load");
  load.hidden = !isOnDisk || !LOADABLE.includes(model.type);
  // Not hidden, which would take the focus away.
  if (loads.length > 0) load.setAttribute("aria-disabled", "true");
  else load.removeAttribute("aria-disabled");
  load.setAttribute("aria-label", `Load ${displayName}`);
  const list = node.querySelector(".instances");
  list.hidden = instances.length + loads.length === 0;
  list.setAttribute("aria-label", `${displayName} in memory`);
  const title = { displayName, isOnly: instances.length === 1 };
  reconcile(list, [...loads, ...instances], (one) => one.name ?? one.identifier, (one) => instanceRow(one, models), (row, one) => updateInstance(row, one, title));
}

function kindOf({ type, vision }) {
  if (type === "llm") return vision ? "language model with vision" : "language model";
  return type === "embedding" ? "embedding model" : type;
}

function showActive({ listing, isAsking, active }, titleOf) {
  const [big, sub] = byId("tile-active").querySelectorAll("p");
  const { activeModel, activeEmbeddingModel } = active ?? {};
  const embeddings = activeEmbeddingModel ? `Embeddings: ${titleOf(activeEmbeddingModel.modelKey)}` : null;
  setText(big, activeModel ? titleOf(activeModel.modelKey) : active !== null ? "None" : isAsking ? "…" : "Unknown");
  setText(sub, [aboutActive(listing, activeModel), embeddings].filter(Boolean).join(" · "));
}

function aboutActive(listing, activeModel) {
  if (listing === null) return null;
  if (!activeModel) return "Load or activate a model to answer requests that don't name one.";
  return listing.loaded.some((model) => model.active && model.type !== "embedding") ? "In memory" : "Not in memory now";
}
