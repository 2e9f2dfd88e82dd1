// Renders the lists of models.

import { actionButton, byId, make, reconcile, setText } from "./dom.js";
import { count, duration, percent, plural, roughly, size } from "./format.js";

const LOADABLE = ["llm", "embedding"];
// Of an instance while queue.enabled is false.
const UNLIMITED_SLOTS = 1e9;
const ORIGINS = { "on-demand": "loaded for a request", loaded: "loaded through the gateway", outside: "loaded outside the gateway" };
const STEPS = { draining: "waiting for its running requests", unloading: "unloading", loading: "loading" };
const BADGES = { draining: "Draining", unloading: "Unloading" };

/** Render the lists; `models` handles the buttons. `listing` is null until LM Studio has answered. */
export function showModels({ listing, active, loading, swap }, models) {
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
  showSwap(swap, titleOf);
  showActive(listing, active, titleOf);
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
    actionButton("Activate", () => models.activate(shown.get(node)), { class: "activate" }),
    actionButton("Unload", () => models.unload(shown.get(node)), { class: "unload" }),
  );
  const badge = (name, mood) => make("span", { class: `badge ${mood} ${name}`, hidden: true });
  const name = node.querySelector(".name");
  const title = make("div", { class: "title" }, badge("active", ""), badge("pinned", "quiet"), badge("state", "warn"));
  name.replaceWith(title, make("p", { class: "use" }));
  title.prepend(name);
  return node;
}

function updateLoaded(node, model) {
  const context = model.contextLength ? `${count(model.contextLength)} tokens of context` : null;
  const own = model.identifier === model.modelKey ? null : model.identifier;
  const ttl = model.ttlMs ? `unloads when idle for ${duration(model.ttlMs)}` : null;
  fill(node, model, model.displayName, [own, kindOf(model), context, size(model.size), ORIGINS[model.origin], ttl]);
  setText(node.querySelector(".use"), useOf(model));
  showBadge(node, ".badge.active", model.active && "Active");
  showBadge(node, ".badge.pinned", model.pinned && "Pinned");
  showBadge(node, ".badge.state", BADGES[model.state]);
  const activate = node.querySelector("button.activate");
  if (model.active && activate === document.activeElement) node.querySelector(".unload").focus();
  activate.hidden = model.active || !LOADABLE.includes(model.type);
  label(node, "button.activate", `Activate ${model.displayName}`);
  label(node, ".unload", `Unload ${own ?? model.displayName}`);
}

function showBadge(node, selector, text) {
  const badge = node.querySelector(selector);
  badge.hidden = !text;
  setText(badge, text || "");
}

function useOf({ slots, running, waiting, idleMs }) {
  const limit = slots < UNLIMITED_SLOTS && plural(slots, "slot", "slots");
  const busy = limit ? `${count(running)} of ${limit} in use` : `${count(running)} running`;
  const idle = [limit, idleMs >= 60_000 ? `idle for ${roughly(idleMs)}` : "idle"];
  return [...(running > 0 ? [busy] : idle), waiting > 0 && `${count(waiting)} waiting`].filter(Boolean).join(" · ");
}

function diskRow(models) {
  const node = row(actionButton("Load", () => models.load(shown.get(node)), { class: "load" }));
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
