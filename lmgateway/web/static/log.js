// The live event log: newest first, with a filter, a pause that holds new events back, and an export.

import { describe } from "./describe.js";
import { byId, make, setText } from "./dom.js";
import { download } from "./download.js";
import { count, plural, timeOfDay } from "./format.js";
import { LogFilter } from "./log-filter.js";
import { Subjects } from "./log-subjects.js";

const MOST = 500;

export class Log {
  #entries = [];
  #waiting = [];
  #paused = false;
  #frame = 0;
  #subjects = new Subjects();
  #filter = new LogFilter(() => this.#filterAll());

  /** Without the scope `log`, the stream has none of LM Studio's log. */
  constructor(hasLog) {
    byId("log-kind-studio").hidden = !hasLog;
    byId("log-pause").addEventListener("click", () => this.#pause(!this.#paused));
    byId("log-export").addEventListener("click", () => this.#export());
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
      const matches = this.#filter.matcher();
      for (const event of this.#waiting.splice(0)) this.#add(event, matches);
      for (const entry of this.#entries.splice(MOST)) entry.node.remove();
    }
    this.#showCounts();
  }

  #add({ name, data, text }, matches) {
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
    const words = `${name} ${text} ${data.requestId ?? ""}`.toLowerCase();
    const entry = { node, name, data, kind: kindOf(name, data), modelKey: data.modelKey, words, ...this.#subjects.of(data) };
    this.#filter.offer(entry);
    node.hidden = !matches(entry);
    this.#entries.unshift(entry);
    byId("log").prepend(node);
  }

  #filterAll() {
    const matches = this.#filter.matcher();
    for (const entry of this.#entries) entry.node.hidden = !matches(entry);
    this.#showCounts();
  }

  // One JSON object a line, in the order in which they happened.
  #export() {
    const shown = this.#entries.filter(({ node }) => !node.hidden).reverse();
    const lines = shown.map(({ name, data }) => `${JSON.stringify({ event: name, data })}\n`);
    const name = `lmgateway-events-${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}.ndjson`;
    download(new Blob(lines, { type: "application/x-ndjson" }), name);
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
    byId("log-export").hidden = seen === 0;
  }
}

// An error event belongs to its operation's kind too.
function kindOf(name, data) {
  return name === "error" ? `error ${data.operation ?? ""}_` : name;
}
