// The ledger's rows, grouped for a chart: the largest groups, and the rest as one.

import { compact, count, duration, plural } from "./format.js";

// As many as there are colours.
const MOST = 7;
const REST = "all others";

const tokensOf = ({ promptTokens, completionTokens }) => promptTokens + completionTokens;

/** What is drawn: `of` a row, written in full and on an axis, with steps of the axis in units of `unit`. */
export const MEASURES = {
  tokens: { name: "Tokens", of: tokensOf, write: (value) => plural(value, "token", "tokens"), axis: compact, unit: 1 },
  requests: { name: "Requests", of: ({ requests }) => requests, write: (value) => plural(value, "request", "requests"), axis: compact, unit: 1 },
  gpu: { name: "GPU time", of: ({ gpuMs }) => gpuMs, write: duration, axis: (value) => `${count(value / 60_000)} min`, unit: 60_000 },
};

/** The groups as {name, days, sum}, the largest first; `days` is the measure by date. */
export function groupRows(rows, measure) {
  const groups = new Map();
  for (const row of rows) {
    const group = groups.get(row.group) ?? { name: nameOf(row.group), days: new Map(), sum: 0 };
    groups.set(row.group, group);
    add(group, row.day, measure.of(row));
  }
  const sorted = [...groups.values()].filter(({ sum }) => sum > 0).sort((a, b) => b.sum - a.sum);
  if (sorted.length <= MOST) return sorted;
  const rest = { name: REST, days: new Map(), sum: 0 };
  for (const { days } of sorted.splice(MOST - 1)) days.forEach((value, day) => add(rest, day, value));
  return [...sorted, rest];
}

function add(group, day, value) {
  group.days.set(day, (group.days.get(day) ?? 0) + value);
  group.sum += value;
}

/** A row's group may be empty: a request that involves no model. */
export const nameOf = (group) => group || "no model";
