// What is left of the limits of all keys: as bars in the list of keys, or as a list of its own.

import { call } from "./api.js";
import { byId, make, setChildren, setText } from "./dom.js";
import { count } from "./format.js";
import { whileShown } from "./visible.js";

const REFRESH_SECONDS = 15;
// A limit, what it counts, and the same without what was used.
const COUNTED = [
  ["requestsPerMinute", "requests this minute", "requests a minute"],
  ["tokensPerMinute", "tokens this minute", "tokens a minute"],
  ["tokensPerDay", "tokens today", "tokens a day"],
  ["running", "running at once", "at once"],
];

/** The limited keys by name, as {limits, used, left, running}. Throws ApiError. */
export async function limitsByKey() {
  const { keys } = await call("GET", "debug/limits");
  return new Map(keys.map((standing) => [standing.key, standing]));
}

/** A line of text, and a bar of what was used. `label` names the bar. */
export function meter(text, { used, limit, label }) {
  const bar = make("progress", { class: used >= limit ? "full" : null, max: limit, value: Math.min(used, limit), "aria-label": label });
  return make("div", { class: "limit" }, make("span", { class: "sub" }, text), bar);
}

/** The bars of a key's limits. Without a standing it is unknown what was used. */
export function limitMeters(name, limits, standing) {
  return COUNTED.filter(([limit]) => limits[limit]).map(([limit, unit, plain]) => {
    const most = limits[limit];
    if (!standing) return make("span", { class: "sub" }, `${count(most)} ${plain}`);
    // What a smaller limit leaves is known; what was used of a larger one before may be more than it.
    const used = limit === "running" ? standing.running : most - standing.left[limit];
    const shown = limit === "running" ? standing.running : standing.used[limit];
    return meter(`${count(shown)} of ${count(most)} ${unit}`, { used, limit: most, label: `${name}: ${unit}` });
  });
}

/** The list for those who may see the usage, and not the keys. */
export class Limits {
  constructor(isShown) {
    this.shown = whileShown(REFRESH_SECONDS, isShown, () => this.#refresh());
  }

  onEvent({ name }) {
    if (name === "key_changed" || name === "lagged") this.shown();
  }

  async #refresh() {
    let standings = new Map();
    let mistake = "";
    try {
      standings = await limitsByKey();
    } catch (error) {
      mistake = error.message;
    }
    setText(byId("limits-mistake"), mistake);
    const rows = [...standings].map(([name, standing]) => {
      return make("li", {}, make("h3", {}, name), make("div", { class: "limits" }, ...limitMeters(name, standing.limits, standing)));
    });
    setChildren(byId("limits"), rows);
    byId("limits-empty").hidden = mistake !== "" || rows.length > 0;
  }
}
