// The live event log: newest first, filtered, and held still while it is paused.

import { describe } from "./describe.js";
import { byId, make, setText } from "./dom.js";
import { count, plural, timeOfDay } from "./format.js";

const MOST = 500;

export class Log {
  #entries = [];
  #waiting = [];
  #paused = false;
  #frame = 0;

  constructor() {
    byId("log-filter").addEventListener("input", () => this.#filter());
    byId("log-kind").addEventListener("change", () => this.#filter());
    byId("log-pause").addEventListener("click", () => this.#pause(!this.#paused));
    byId("log-clear").addEventListener("click", () => this.#clear());
    this.#tell();
  }

  onEvent({ name, data }) {
    // Told elsewhere, and older events come after it.
    if (name === "connected") return;
    this.#waiting.push({ name, data, text: describe({ name, data }) ?? "" });
    if (this.#waiting.length > MOST) this.#waiting.shift();
    // Hundreds may come at once, and a page that isn't seen has no frames at all.
    if (this.#frame === 0) this.#frame = requestAnimationFrame(() => this.#flush());
  }

  #flush() {
    this.#frame = 0;
    if (!this.#paused) {
      for (const event of this.#waiting.splice(0)) this.#add(event);
      for (const entry of this.#entries.splice(MOST)) entry.node.remove();
    }
    this.#tell();
  }

  #add({ name, data, text }) {
    const last = this.#entries[0];
    // A load tells of its progress a hundred times; one line that moves says as much.
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
    node.hidden = !this.#isWanted(entry);
    this.#entries.unshift(entry);
    byId("log").prepend(node);
  }

  #isWanted({ kind, words }) {
    const kinds = byId("log-kind").value;
    const wanted = byId("log-filter").value.trim().toLowerCase();
    return (kinds === "" || kinds.split(" ").some((wantedKind) => kind.includes(wantedKind))) && words.includes(wanted);
  }

  #filter() {
    for (const entry of this.#entries) entry.node.hidden = !this.#isWanted(entry);
    this.#tell();
  }

  #pause(paused) {
    this.#paused = paused;
    setText(byId("log-pause"), paused ? "Resume" : "Pause");
    this.#flush();
  }

  #clear() {
    this.#entries = [];
    byId("log").replaceChildren();
    this.#tell();
  }

  #whyNothing() {
    const isLog = byId("log-kind").selectedOptions[0].text === "LM Studio's log" && byId("log-filter").value === "";
    return isLog ? "Nothing yet. The gateway follows it if lmstudio.log_monitoring is on and lmstudio.log_dir is set." : "Nothing fits this filter.";
  }

  #tell() {
    const all = this.#entries.length;
    const seen = this.#entries.filter(({ node }) => !node.hidden).length;
    const shown = seen === all ? plural(all, "event", "events") : `${count(seen)} of ${plural(all, "event", "events")}`;
    setText(byId("log-count"), this.#paused ? `Paused, ${count(this.#waiting.length)} new` : shown);
    setText(byId("log-empty"), all === 0 ? "Nothing has happened yet. Events show up here as they happen." : this.#whyNothing());
    byId("log-empty").hidden = seen > 0;
    byId("log-box").hidden = seen === 0;
  }
}

// A request's error is one of the requests' events too.
function kindOf(name, data) {
  return name === "error" ? `error ${data.operation ?? ""}_` : name;
}
