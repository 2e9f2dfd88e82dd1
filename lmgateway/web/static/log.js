// The live event log: newest first, with a filter, and a pause that holds new events back.

import { describe } from "./describe.js";
import { byId, make, setText } from "./dom.js";
import { count, plural, timeOfDay } from "./format.js";

const MOST = 500;

export class Log {
  #entries = [];
  #waiting = [];
  #paused = false;
  #frame = 0;

  /** Without the scope `log`, the stream has none of LM Studio's log. */
  constructor(hasLog) {
    byId("log-kind-studio").hidden = !hasLog;
    byId("log-filter").addEventListener("input", () => this.#filter());
    byId("log-kind").addEventListener("change", () => this.#filter());
    byId("log-pause").addEventListener("click", () => this.#pause(!this.#paused));
    byId("log-clear").addEventListener("click", () => this.#clear());
    this.#showCounts();
  }

  onEvent({ name, data }) {
    // The connection's state is shown elsewhere, and older events are replayed after this one.
    if (name === "connected") return;
    this.#waiting.push({ name, data, text: describe({ name, data }) ?? "" });
    if (this.#waiting.length > MOST) this.#waiting.shift();
    // Rendered once a frame, because events come in batches of hundreds; a hidden page has no frames.
    if (this.#frame === 0) this.#frame = requestAnimationFrame(() => this.#flush());
  }

  #flush() {
    this.#frame = 0;
    if (!this.#paused) {
      for (const event of this.#waiting.splice(0)) this.#add(event);
      for (const entry of this.#entries.splice(MOST)) entry.node.remove();
    }
    this.#showCounts();
  }

  #add({ name, data, text }) {
    const last = this.#entries[0];
    // A load has a hundred progress events: show only the latest of a row.
    if (name === "model_load_progress" && last?.name === name && last.modelKey === data.modelKey) {
      this.#entries.shift().node.remove();
    }
    const node = make(
      "li",
      { class: name === "error" ? "entry bad" : "entry" },
      make("time", { datetime: data.timestamp }, timeOfDay(data.timestamp)),
      make("span", { class: "event" }, name),
      make("span", { class: "text" }, text),
    );
    const entry = { node, name, kind: kindOf(name, data), modelKey: data.modelKey, words: `${name} ${text} ${data.requestId ?? ""}`.toLowerCase() };
    node.hidden = !this.#matches(entry);
    this.#entries.unshift(entry);
    byId("log").prepend(node);
  }

  #matches({ kind, words }) {
    const kinds = byId("log-kind").value;
    const query = byId("log-filter").value.trim().toLowerCase();
    return (kinds === "" || kinds.split(" ").some((selected) => kind.includes(selected))) && words.includes(query);
  }

  #filter() {
    for (const entry of this.#entries) entry.node.hidden = !this.#matches(entry);
    this.#showCounts();
  }

  #pause(paused) {
    this.#paused = paused;
    setText(byId("log-pause"), paused ? "Resume" : "Pause");
    this.#flush();
  }

  #clear() {
    this.#entries = [];
    byId("log").replaceChildren();
    this.#showCounts();
  }

  #whyNothing() {
    const isLog = byId("log-kind").selectedOptions[0].text === "LM Studio's log" && byId("log-filter").value === "";
    return isLog ? "No events yet. To follow LM Studio's log, set lmstudio.log_monitoring." : "No event matches this filter.";
  }

  #showCounts() {
    const all = this.#entries.length;
    const seen = this.#entries.filter(({ node }) => !node.hidden).length;
    const shown = seen === all ? plural(all, "event", "events") : `${count(seen)} of ${plural(all, "event", "events")}`;
    setText(byId("log-count"), this.#paused ? `Paused, ${count(this.#waiting.length)} new` : shown);
    setText(byId("log-empty"), all === 0 ? "No events yet. They appear here as they happen." : this.#whyNothing());
    byId("log-empty").hidden = seen > 0;
    byId("log-box").hidden = seen === 0;
  }
}

// An error event belongs to its operation's kind too.
function kindOf(name, data) {
  return name === "error" ? `error ${data.operation ?? ""}_` : name;
}
