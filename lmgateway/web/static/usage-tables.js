// The usage as tables: the sum of each key or model, and each day's rows.

import { byId, make, setText } from "./dom.js";
import { NOTHING, count, dayOfMonth, duration } from "./format.js";
import { nameOf } from "./usage-groups.js";

const COLUMNS = [
  ["Requests", ({ requests }) => count(requests)],
  ["Errors", ({ errors }) => count(errors)],
  ["Refused", ({ refused }) => count(refused)],
  ["Tokens in", ({ promptTokens }) => count(promptTokens)],
  ["Tokens out", ({ completionTokens }) => count(completionTokens)],
  ["Reasoning", ({ reasoningTokens }) => count(reasoningTokens)],
  ["GPU time", ({ gpuMs }) => (gpuMs === 0 ? NOTHING : duration(gpuMs))],
  ["Not counted", ({ untold }) => count(untold)],
];
const SUMMED = ["requests", "errors", "refused", "promptTokens", "completionTokens", "reasoningTokens", "gpuMs", "untold"];
const HEADS = { key: "Key", model: "Model" };

/** The sums by key or model, the one with most requests first, and the gateway's own total. */
export function showTotals({ rows, by, total }) {
  const sums = new Map();
  for (const row of rows) {
    const sum = sums.get(row.group) ?? { group: row.group };
    sums.set(row.group, sum);
    for (const name of SUMMED) sum[name] = (sum[name] ?? 0) + row[name];
  }
  const sorted = [...sums.values()].sort((a, b) => b.requests - a.requests);
  setText(byId("usage-totals-title"), `By ${by}`);
  fill("usage-totals", [HEADS[by]], [
    ...sorted.map((sum) => tableRow([[HEADS[by], nameOf(sum.group)]], sum)),
    tableRow([[HEADS[by], "Total"]], total, "total"),
  ]);
}

/** Each day's rows, the latest first. */
export function showDays({ rows, by }) {
  const sorted = [...rows].sort((a, b) => b.day.localeCompare(a.day) || nameOf(a.group).localeCompare(nameOf(b.group)));
  setText(byId("usage-days-title"), `By day and ${by}`);
  fill("usage-days", ["Day", HEADS[by]], sorted.map((row) => tableRow([["Day", dayOfMonth(row.day)], [HEADS[by], nameOf(row.group)]], row)));
}

function fill(id, names, rows) {
  const head = (name, kind) => make("th", { role: "columnheader", scope: "col", class: kind }, name);
  byId(id).replaceChildren(
    make(
      "thead",
      { role: "rowgroup" },
      make("tr", { role: "row" }, ...names.map((name) => head(name, null)), ...COLUMNS.map(([name]) => head(name, "number"))),
    ),
    make("tbody", { role: "rowgroup" }, ...rows),
  );
}

function tableRow(names, values, kind = null) {
  return make(
    "tr",
    { role: "row", class: kind },
    ...names.map(([column, name]) => make("th", { role: "rowheader", scope: "row", "data-column": column }, name)),
    ...COLUMNS.map(([column, write]) => make("td", { role: "cell", class: "number", "data-column": column }, write(values))),
  );
}
