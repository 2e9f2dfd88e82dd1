// Renders what a model has in memory: its instances, and its loads in progress.

import { onBox } from "./boxes.js";
import { actionButton, make, setText } from "./dom.js";
import { count, duration, percent, plural, roughly } from "./format.js";

// Of an instance while queue.enabled is false.
const UNLIMITED_SLOTS = 1e9;
const MINUTE_MS = 60_000;
const ORIGINS = { "on-demand": "loaded for a request", loaded: "loaded through the gateway", outside: "loaded outside the gateway" };
const BADGES = { draining: "Draining", unloading: "Unloading" };
const ACTIVATABLE = ["llm", "embedding"];

// Rows are reused: a button acts on what its row shows now.
const shown = new WeakMap();

const isLoad = (one) => one.name !== undefined;

export const instanceRow = (one, models) => (isLoad(one) ? loadingRow(models) : loadedRow(models));

/** `displayName` is the model's, `isOnly` whether it has one instance. */
export function updateInstance(node, one, { displayName, isOnly }) {
  shown.set(node, one);
  if (isLoad(one)) updateLoading(node, one, displayName);
  else updateLoaded(node, one, displayName, isOnly);
}

function row(facts, ...buttons) {
  return make("li", { class: "row" }, make("div", { class: "what" }, ...facts), make("div", { class: "actions" }, ...buttons));
}

function loadingRow(models) {
  const facts = [make("p", { class: "use" }), make("progress", { max: 1 })];
  const node = row(facts, actionButton("Cancel", () => models.cancelLoad(shown.get(node)), { class: "cancel" }));
  return node;
}

function updateLoading(node, { instanceId, progressRaw }, displayName) {
  const bar = node.querySelector("progress");
  const begun = progressRaw !== null;
  setText(node.querySelector(".use"), [instanceId, begun ? `Loading, ${percent(progressRaw)}` : "Starting to load"].filter(Boolean).join(" · "));
  if (begun) bar.value = progressRaw;
  else bar.removeAttribute("value");
  bar.setAttribute("aria-label", `Loading ${displayName}`);
  node.querySelector(".cancel").setAttribute("aria-label", `Cancel loading ${displayName}`);
}

function loadedRow(models) {
  const badge = (name, mood) => make("span", { class: `badge ${mood} ${name}`, hidden: true });
  const title = make("div", { class: "title" }, make("p", { class: "use" }), badge("active", ""), badge("state", "warn"));
  const node = row(
    [title, make("p", { class: "sub" })],
    actionButton("Activate", () => models.activate(shown.get(node)), { class: "activate" }),
    actionButton("Unload", () => models.unload(shown.get(node)), { class: "unload" }),
  );
  return node;
}

function updateLoaded(node, model, displayName, isOnly) {
  const own = model.identifier === model.modelKey ? null : model.identifier;
  const context = model.contextLength ? `${count(model.contextLength)} tokens of context` : null;
  const name = own ?? (isOnly ? null : model.identifier);
  const waiting = isOnly && model.waiting > 0 && `${count(model.waiting)} waiting`;
  setText(node.querySelector(".use"), [name, ...useOf(model), waiting].filter(Boolean).join(" · "));
  setText(node.querySelector(".sub"), [onBox(model.box), context, ORIGINS[model.origin], stayOf(model)].filter(Boolean).join(" · "));
  showBadge(node, ".badge.active", model.active && "Active");
  showBadge(node, ".badge.state", BADGES[model.state]);
  const [activate, unload] = [node.querySelector("button.activate"), node.querySelector("button.unload")];
  if (model.active && activate === document.activeElement) unload.focus();
  activate.hidden = model.active || !ACTIVATABLE.includes(model.type);
  activate.setAttribute("aria-label", `Activate ${own ?? displayName}`);
  unload.setAttribute("aria-label", `Unload ${own ?? displayName}`);
}

function showBadge(node, selector, text) {
  const badge = node.querySelector(selector);
  badge.hidden = !text;
  setText(badge, text || "");
}

function useOf({ slots, running, idleMs }) {
  const limit = slots < UNLIMITED_SLOTS && plural(slots, "slot", "slots");
  const busy = limit ? `${count(running)} of ${limit} in use` : `${count(running)} running`;
  const idle = [limit, idleMs >= MINUTE_MS ? `idle for ${roughly(idleMs)}` : "idle"];
  return running > 0 ? [busy] : idle;
}

/** Say how long it stays in memory, as far as the gateway knows. */
function stayOf({ state, origin, pinned, running, idleMs, idleLimitMs }) {
  if (state !== "resident") return null;
  if (!idleLimitMs) return pinned || origin !== "outside" ? "stays until it is unloaded" : null;
  const left = idleLimitMs - idleMs;
  // Requests that didn't come through the gateway keep it in memory beyond that.
  if (running > 0 || left <= 0) return `unloads when idle for ${duration(idleLimitMs)}`;
  return `unloads in ${left < MINUTE_MS ? "less than a minute" : roughly(left)} without a request`;
}
