// Renders the lists of models.

import { actionButton, byId, make, reconcile, setText } from "./dom.js";
import { count, duration, percent, size } from "./format.js";

const LOADABLE = ["llm", "embedding"];

/** Render the lists; `models` handles the buttons. `listing` is null until LM Studio has answered. */
export function showModels(listing, active, loading, models) {
  const loaded = listing?.loaded ?? [];
  const disk = listing?.downloaded ?? [];
  const titles = new Map(disk.map((model) => [model.modelKey, model.displayName]));
  const titleOf = (key) => titles.get(key) ?? key;
  const keysLoading = new Set(Array.from(loading.values(), (load) => load.modelKey));
  const show = (list, items, keyOf, makeRow, update) => {
    reconcile(byId(list), items, keyOf, () => makeRow(models), update);
    byId(list).hidden = items.length === 0;
  };
  show("models-loading", [...loading], ([name]) => name, loadingRow, (node, [, load]) => updateLoading(node, load, titleOf));
  show("models-loaded", loaded, (model) => model.identifier, loadedRow, updateLoaded);
  show("models-disk", disk, (model) => model.modelKey, diskRow, (node, model) => updateDisk(node, model, keysLoading));
  byId("models-loaded-empty").hidden = listing === null || loaded.length + loading.size > 0;
  byId("models-disk-empty").hidden = listing === null || disk.length > 0;
  showActive(listing, active, titleOf);
}

// Rows are reused: a button acts on the model that its row shows now.
const shown = new WeakMap();

function row(...buttons) {
  const node = make("li", { class: "row" });
  node.append(
    make("div", { class: "what" }, make("p", { class: "name" }), make("p", { class: "sub" })),
    make("div", { class: "actions" }, ...buttons),
  );
  return node;
}

function fill(node, model, name, facts) {
  shown.set(node, model);
  setText(node.querySelector(".name"), name);
  setText(node.querySelector(".sub"), facts.filter(Boolean).join(" · "));
}

function label(node, button, text) {
  node.querySelector(button)?.setAttribute("aria-label", text);
}

function loadingRow(models) {
  const node = row(actionButton("Cancel", () => models.cancelLoad(shown.get(node)), { class: "cancel" }));
  node.querySelector(".what").append(make("progress", { max: 1 }));
  return node;
}

function updateLoading(node, load, titleOf) {
  const bar = node.querySelector("progress");
  const title = titleOf(load.modelKey);
  const begun = load.progressRaw !== null;
  fill(node, load, title, [load.instanceId, begun ? `Loading, ${percent(load.progressRaw)}` : "Starting to load"]);
  if (begun) bar.value = load.progressRaw;
  else bar.removeAttribute("value");
  bar.setAttribute("aria-label", `Loading ${title}`);
  label(node, ".cancel", `Cancel loading ${title}`);
}

function loadedRow(models) {
  const node = row(
    make("span", { class: "badge" }, "Active"),
    actionButton("Activate", () => models.activate(shown.get(node)), { class: "activate" }),
    actionButton("Unload", () => models.unload(shown.get(node)), { class: "unload" }),
  );
  return node;
}

function updateLoaded(node, model) {
  const context = model.contextLength ? `${count(model.contextLength)} tokens of context` : null;
  const own = model.identifier === model.modelKey ? null : model.identifier;
  const idle = model.ttlMs ? `unloads when idle for ${duration(model.ttlMs)}` : null;
  fill(node, model, model.displayName, [own, kindOf(model), context, size(model.size), idle]);
  const activate = node.querySelector(".activate");
  node.querySelector(".badge").hidden = !model.active;
  if (model.active && activate === document.activeElement) node.querySelector(".unload").focus();
  activate.hidden = model.active || !LOADABLE.includes(model.type);
  label(node, ".activate", `Activate ${model.displayName}`);
  label(node, ".unload", `Unload ${own ?? model.displayName}`);
}

function diskRow(models) {
  // No actionButton: the modal dialog already prevents a second press.
  const node = row(make("button", { type: "button", class: "load", onclick: () => models.load(shown.get(node)) }, "Load"));
  return node;
}

function updateDisk(node, model, keysLoading) {
  fill(node, model, model.displayName, [kindOf(model), model.paramsString, model.quantization, size(model.size)]);
  node.querySelector(".load").hidden = keysLoading.has(model.modelKey) || !LOADABLE.includes(model.type);
  label(node, ".load", `Load ${model.displayName}`);
}

function kindOf({ type, vision }) {
  if (type === "llm") return vision ? "vision" : null;
  return type;
}

function showActive(listing, { activeModel, activeEmbeddingModel }, titleOf) {
  const [big, sub] = byId("tile-active").querySelectorAll("p");
  const embeddings = activeEmbeddingModel ? `Embeddings: ${titleOf(activeEmbeddingModel.modelKey)}` : null;
  setText(big, activeModel ? titleOf(activeModel.modelKey) : listing === null ? "Unknown" : "None");
  setText(sub, [aboutActive(listing, activeModel), embeddings].filter(Boolean).join(" · "));
}

function aboutActive(listing, activeModel) {
  if (listing === null) return null;
  if (!activeModel) return "Load or activate a model to answer requests that don't name one.";
  return listing.loaded.some((model) => model.active && model.type !== "embedding") ? "In memory" : "Not in memory now";
}
