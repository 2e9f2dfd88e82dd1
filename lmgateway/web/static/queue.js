// The line before the GPU: the requests that wait, the slots of each instance, and what each key has had.

import { clientOf, waitsFor, whoOf } from "./describe.js";
import { byId, make, reconcile, setText } from "./dom.js";
import { count, duration, plural } from "./format.js";

// A page with a thousand rows would be slow, and nobody reads them.
const MOST_WAITING = 50;
// Of an instance while queue.enabled is false.
const UNLIMITED_SLOTS = 1e9;

/**
 * Show the waiting requests, each with the exchange of its id, the next one first. `cancelOf` makes an exchange's
 * button, or "".
 */
export function showWaiting(waiting, exchanges, cancelOf) {
  const byTurn = [...waiting].sort((a, b) => a.ahead - b.ahead || b.waitedMs - a.waitedMs);
  const rows = byTurn.slice(0, MOST_WAITING).map((one) => ({ ...exchanges.get(one.requestId), ...one, places: waiting.length }));
  reconcile(byId("waiting"), rows, (one) => one.requestId, (one) => waitingRow(cancelOf(one)), updateWaiting);
  byId("waiting-part").hidden = waiting.length === 0;
  const more = waiting.length - rows.length;
  byId("waiting-more").hidden = more <= 0;
  setText(byId("waiting-more"), `${plural(more, "more request waits", "more requests wait")}.`);
}

function waitingRow(cancel) {
  return make(
    "li",
    { class: "row" },
    make("div", { class: "what" }, nameLine(), make("p", { class: "phase wait" }), make("p", { class: "sub" })),
    make("div", { class: "actions" }, cancel),
  );
}

function updateWaiting(node, one) {
  updateName(node, [whoOf(one), one.user].filter(Boolean).join(" · "), one.model);
  const place = one.ahead === 0 ? "Next in line" : `Place ${count(one.ahead + 1)} of ${count(one.places)}`;
  setText(node.querySelector(".phase"), [place, expected(one), waitsFor(one)].filter(Boolean).join(" · "));
  const details = [`waited ${duration(one.waitedMs)}`, one.class === "background" && "background", one.method && `${one.method} ${one.path}`, clientOf(one)];
  setText(node.querySelector(".sub"), details.filter(Boolean).join(" · "));
}

/** The line of who sent a request, and its model. */
export function nameLine() {
  return make("p", { class: "name" }, make("span", { class: "who" }), make("span", { class: "model" }));
}

export function updateName(node, who, model) {
  setText(node.querySelector(".who"), who);
  setText(node.querySelector(".model"), model);
}

function expected({ etaMs }) {
  if (etaMs === null) return null;
  return etaMs < 1000 ? "about to run" : `about ${duration(etaMs)} more`;
}

/** Show the slots of each instance, and what each account has had. */
export function showShares({ instances, keys }) {
  const total = keys.reduce((sum, one) => sum + one.gpuMs, 0);
  reconcile(byId("slots"), instances, ({ box, instance }) => JSON.stringify([box, instance]), shareRow, updateSlots);
  reconcile(byId("shares"), keys, ({ key, address, user }) => JSON.stringify([key, address, user]), shareRow, (node, one) => updateShare(node, one, total));
  byId("slots-part").hidden = instances.length === 0;
  byId("shares-part").hidden = keys.length === 0;
  byId("line-empty").hidden = instances.length > 0 || keys.length > 0;
}

function shareRow() {
  const line = make("p", { class: "meter" }, make("span", { class: "name" }), make("span", { class: "hint" }));
  return make("li", {}, line, make("progress", { max: 1 }));
}

function updateSlots(node, { instance, box, state, slots, ours, outside }) {
  const inUse = slots < UNLIMITED_SLOTS ? `${count(ours)} of ${plural(slots, "slot", "slots")} in use` : `${count(ours)} running, without a limit`;
  const used = [inUse, outside > 0 && `${count(outside)} by others`, state !== "resident" && state];
  updateMeter(node, instance, used.filter(Boolean).join(" · "), Math.min((ours + outside) / slots, 1), `Slots of ${instance} on ${box}`);
}

function updateShare(node, { key, address, user, share, running, waiting, gpuMs, behindMs }, total) {
  const name = [key === "(outside)" ? "Around the gateway" : key, user || address].filter(Boolean).join(" · ");
  const about = [
    running > 0 && `${count(running)} running`,
    waiting > 0 && `${count(waiting)} waiting`,
    `${duration(gpuMs)} of the GPU`,
    behindMs >= 1000 && `${duration(behindMs)} behind`,
    share > 0 && share !== 1 && `share ${share}`,
    key === "(outside)" && "others in LM Studio, and loads for which no request waits",
  ];
  updateMeter(node, name, about.filter(Boolean).join(" · "), total > 0 ? gpuMs / total : 0, `Part of ${name} in the GPU's time`);
}

function updateMeter(node, name, about, value, label) {
  setText(node.querySelector(".name"), name);
  setText(node.querySelector(".hint"), about);
  const bar = node.querySelector("progress");
  bar.value = value;
  bar.setAttribute("aria-label", label);
}
