// Renders the configuration in force.

import { byId, make, reconcile, setText } from "./dom.js";
import { count, plural } from "./format.js";

const DEFAULT = "default";

/** Render the settings that match what is typed; null if they are unknown. */
export function showConfig(settings) {
  const all = settings ?? [];
  const words = byId("config-find").value.toLowerCase().split(/\s+/).filter(Boolean);
  const withoutDefaults = byId("config-show").value === "set";
  const found = all.filter((one) => !(withoutDefaults && one.origin === DEFAULT) && words.every((word) => textOf(one).includes(word)));
  reconcile(byId("config-rows"), found, (one) => one.path, row, update);
  byId("config-table").hidden = found.length === 0;
  byId("config-empty").hidden = settings === null || found.length > 0;
  const own = all.filter((one) => one.origin !== DEFAULT).length;
  const listed = found.length < all.length ? `${count(found.length)} of ${plural(all.length, "setting", "settings")}` : plural(all.length, "setting", "settings");
  setText(byId("config-count"), `${listed} · ${plural(own, "isn't a default", "aren't defaults")}`);
}

const textOf = ({ path, value, origin }) => `${path}\n${value}\n${origin}`.toLowerCase();

function row() {
  return make(
    "tr",
    { role: "row" },
    make("th", { role: "rowheader", scope: "row" }, make("code", { class: "path" })),
    make("td", { role: "cell" }, make("code", { class: "value" }), " ", make("span", { class: "badge warn" })),
    make("td", { role: "cell", class: "origin" }),
  );
}

function update(node, { path, value, origin, needsRestart }) {
  setText(node.querySelector(".path"), path);
  setText(node.querySelector(".value"), value);
  setText(node.querySelector(".origin"), origin);
  const badge = node.querySelector(".badge");
  badge.hidden = !needsRestart;
  setText(badge, needsRestart ? "after a restart" : "");
  node.classList.toggle("own", origin !== DEFAULT);
}
