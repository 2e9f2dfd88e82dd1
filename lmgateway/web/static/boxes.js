// The boxes: what each LM Studio does, to take one out of service, and to wake its machine.

import { call } from "./api.js";
import { actionButton, byId, make, reconcile, setText } from "./dom.js";
import { count, duration, plural } from "./format.js";
import { notify, notifyError } from "./notices.js";

const STATES = { up: ["Up", "good"], down: ["Down", "bad"], waking: ["Waking up", "warn"], draining: ["Draining", "warn"] };

// Rows are reused: a button acts on what its row shows now.
const shown = new WeakMap();

/** Show these boxes, if there are several. */
export function showBoxes(boxes) {
  byId("boxes").hidden = boxes.length < 2;
  reconcile(byId("boxes-list"), boxes, (one) => one.box, rowOf, update);
}

/** Say on which LM Studio something is; nothing for the only one of a configuration without names. */
export const onBox = (box) => (box && box !== "lmstudio" ? `on ${box}` : null);

function rowOf() {
  const change = (action) => async () => {
    try {
      notify((await call("POST", `admin/boxes/${encodeURIComponent(shown.get(node).box)}/${action}`)).message);
    } catch (error) {
      notifyError(error);
    }
  };
  const buttons = [["Wake", "wake"], ["Drain", "drain"], ["Resume", "resume"]].map(([label, action]) => actionButton(label, change(action), { class: action }));
  const title = make("div", { class: "title" }, make("p", { class: "name" }), make("span", { class: "badge" }));
  const node = make("li", { class: "row" }, make("div", { class: "what" }, title, make("p", { class: "sub" })), make("div", { class: "actions" }, ...buttons));
  return node;
}

function update(node, box) {
  shown.set(node, box);
  const [state, mood] = STATES[box.state] ?? [box.state, ""];
  setText(node.querySelector(".name"), box.box);
  const badge = node.querySelector(".badge");
  badge.className = `badge ${mood}`;
  setText(badge, state);
  const answers = box.latencyMs === null ? null : `answers in ${duration(box.latencyMs)}`;
  const busy = `${count(box.running)} running, ${count(box.waiting)} waiting`;
  setText(node.querySelector(".sub"), [answers, box.version && `LM Studio ${box.version}`, plural(box.models.length, "model", "models"), busy].filter(Boolean).join(" · "));
  for (const button of node.querySelectorAll("button")) {
    const isUsed = { wake: box.state === "down", drain: box.state !== "draining", resume: box.state === "draining" };
    const action = Object.keys(isUsed).find((name) => button.classList.contains(name));
    button.hidden = !isUsed[action];
    button.setAttribute("aria-label", `${button.textContent} ${box.box}`);
  }
}
