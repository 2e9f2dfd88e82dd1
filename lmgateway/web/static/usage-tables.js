// The usage as tables: the sum of each key or model, and the rows of each hour, day or month.

import { byId, make, setText } from "./dom.js";
import { NOTHING, count, duration } from "./format.js";
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

/** The sums by key or model, the one with most requests first, and the total. */
export function showTotals({ rows, by, title }) {
  const sums = new Map();
  const total = {};
  for (const row of rows) {
    const sum = sums.get(row.group) ?? { group: row.group };
    sums.set(row.group, sum);
    for (const each of [sum, total]) for (const name of SUMMED) each[name] = (each[name] ?? 0) + row[name];
  }
  const sorted = [...sums.values()].sort((a, b) => b.requests - a.requests);
  setText(byId("usage-totals-title"), `By ${title}`);
  fill("usage-totals", [HEADS[by]], [
    ...sorted.map((sum) => tableRow([[HEADS[by], nameOf(sum.group)]], sum)),
    tableRow([[HEADS[by], "Total"]], total, "total"),
  ]);
}

/** The rows of each hour, day or month, the latest first. */
export function showTimes({ rows, range, by, title }) {
  const sorted = [...rows].sort((a, b) => b.slot.localeCompare(a.slot) || nameOf(a.group).localeCompare(nameOf(b.group)));
  setText(byId("usage-times-title"), `By ${range.unit} and ${title}`);
  const row = (one) => tableRow([[range.column, range.write(one.slot)], [HEADS[by], nameOf(one.group)]], one);
  fill("usage-times", [range.column, HEADS[by]], sorted.map(row));
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
