// Renders the table of keys.

import { byId, make, reconcile, setChildren, setText } from "./dom.js";
import { limitMeters } from "./limits.js";
import { NOTHING, count, dateAndTime, fromNow, plural } from "./format.js";

// A browser takes seconds for thousands of rows.
const MOST = 200;
const SOON_MS = 7 * 86_400_000;

const FIRST =
  "There are no keys yet, so every request is served. The first key must have the scope admin, and from then on every request needs a key.";
const NONE = "There are no named keys yet, so all use the owner's. Make one for each person or app: each has its own rights, limits and usage.";

/** Render the keys that match the query; `actions` handles the buttons. `keys` is null if they are unknown. */
export function showKeys(keys, usage, query, caller, actions) {
  const sorted = [...(keys ?? [])].sort((a, b) => (a.name < b.name ? -1 : 1));
  const words = query.trim().toLowerCase();
  const matching = sorted.filter((key) => `${key.name} ${key.note ?? ""}`.toLowerCase().includes(words));
  const update = (node, key) => fill(node, key, usage, key.name === caller.name);
  reconcile(byId("keys-rows"), matching.slice(0, MOST), (key) => key.name, () => row(actions), update);
  byId("keys-table").hidden = matching.length === 0;
  byId("keys-bar").hidden = sorted.length < 2;
  const shown = Math.min(matching.length, MOST);
  setText(byId("keys-count"), shown < sorted.length ? `${count(shown)} of ${plural(sorted.length, "key", "keys")}` : plural(shown, "key", "keys"));
  setText(byId("keys-empty"), sorted.length > 0 ? "No key matches." : caller.isAnyone ? FIRST : NONE);
  byId("keys-empty").hidden = keys === null || matching.length > 0;
}

// Rows are reused: a button acts on the key that its row shows now.
const shown = new WeakMap();

function row(actions) {
  const button = (label, action) => make("button", { type: "button", class: action, onclick: () => actions[action](shown.get(node)) }, label);
  const cell = (column, kind) => make("td", { role: "cell", class: kind, "data-column": column });
  const node = make(
    "tr",
    { role: "row" },
    make("th", { role: "rowheader", scope: "row", class: "who" }),
    cell("May use", "rights"),
    cell("Limits", "limits"),
    cell("Today", "today"),
    cell("This month", "month"),
    cell("Last used", "used"),
    make("td", { role: "cell", class: "actions" }, button("Change", "change"), button("Rotate", "rotate"), button("Revoke", "revoke")),
  );
  return node;
}

function fill(node, key, usage, isOwn) {
  shown.set(node, key);
  setLines(node, "who", [key.name, ...badges(key, isOwn)], [key.note, `sk-lm-${key.id}:…`]);
  setLines(node, "rights", [key.scopes.join(", ") || "nothing"], rights(key));
  setChildren(node.querySelector(".limits"), limits(key, usage.limits));
  setLines(node, "today", ...usageLines(usage.today, key));
  setLines(node, "month", ...usageLines(usage.month, key));
  const expires = key.expiresAt && `${isPast(key.expiresAt) ? "expired" : "expires"} ${dateAndTime(key.expiresAt)}`;
  setLines(node, "used", [key.lastUsedAt ? fromNow(key.lastUsedAt) : "never"], [expires]);
  for (const action of ["change", "rotate", "revoke"]) {
    const button = node.querySelector(`button.${action}`);
    button.setAttribute("aria-label", `${button.textContent} ${key.name}`);
  }
}

/** Fill a cell with a first line, of texts and nodes, and lines below. */
function setLines(node, kind, first, lines) {
  const made = [first.length > 0 && make("span", { class: "first" }, ...spaced(first)), ...lines.map((line) => line && make("span", { class: "sub" }, line))];
  setChildren(node.querySelector(`.${kind}`), made.filter(Boolean));
}

const spaced = (parts) => parts.flatMap((part, index) => (index > 0 ? [" ", part] : [part]));

function badges(key, isOwn) {
  const badge = (text, mood) => make("span", { class: `badge ${mood}` }, text);
  const isExpired = isPast(key.expiresAt);
  const isEnding = !isExpired && Date.parse(key.expiresAt) - Date.now() < SOON_MS;
  return [isOwn && badge("this tab's", ""), isExpired && badge("expired", "bad"), isEnding && badge("expires soon", "warn")].filter(Boolean);
}

const isPast = (timestamp) => Date.parse(timestamp) <= Date.now();

function rights({ models, model, addresses, class: priority, share }) {
  return [
    String(models) === "*" ? "all models" : `models ${models.join(", ")}`,
    model && `default ${model}`,
    addresses.length > 0 && `without a key from ${addresses.join(", ")}`,
    priority === "background" && "background",
    share !== 1 && `share ${count(share)}`,
  ];
}

function limits({ name, limits }, standings) {
  const meters = limitMeters(name, limits, standings?.get(name));
  return meters.length > 0 ? meters : [make("span", { class: "sub" }, "none")];
}

/** The lines about what a key used; unknown if there are no rows at all. */
function usageLines(rows, { name }) {
  if (rows === null) return [[NOTHING], []];
  const { requests = 0, promptTokens = 0, completionTokens = 0, untold = 0 } = rows.get(name) ?? {};
  const tokens = plural(promptTokens + completionTokens, "token", "tokens");
  return [[plural(requests, "request", "requests")], [tokens, untold > 0 && `${count(untold)} not counted`]];
}
