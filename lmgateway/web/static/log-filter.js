// The filter of the event log: a kind, a key, a model and any text.

import { byId, make } from "./dom.js";

// Models have the names that clients send.
const MOST_OPTIONS = 200;
const FIELDS = ["log-kind", "log-key", "log-model"];

export class LogFilter {
  /** `changed` is called after each choice. */
  constructor(changed) {
    for (const id of FIELDS) byId(id).addEventListener("change", changed);
    byId("log-filter").addEventListener("input", changed);
  }

  /** Offer what an event is of. The selects keep what was seen, also of events that are gone. */
  offer({ key, models }) {
    if (key !== null) offer(byId("log-key"), key);
    for (const model of models) offer(byId("log-model"), model);
  }

  /** The choices at this moment, as a function that says whether an event matches. */
  matcher() {
    const [kinds, key, model] = FIELDS.map((id) => byId(id).value);
    const query = byId("log-filter").value.trim().toLowerCase();
    return (entry) =>
      (kinds === "" || kinds.split(" ").some((kind) => entry.kind.includes(kind))) &&
      (key === "" || entry.key === key) &&
      (model === "" || entry.models.has(model)) &&
      entry.words.includes(query);
  }
}

function offer(select, value) {
  const others = [...select.options].slice(1);
  if (others.length >= MOST_OPTIONS || others.some((option) => option.value === value)) return;
  select.insertBefore(make("option", { value }, value), others.find((option) => option.value > value) ?? null);
}
