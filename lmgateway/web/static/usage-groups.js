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

/** The groups as {name, slots, sum}, the largest first; `slots` is the measure by hour, day or month. */
export function groupRows(rows, measure) {
  const groups = new Map();
  for (const row of rows) {
    const group = groups.get(row.group) ?? { name: nameOf(row.group), slots: new Map(), sum: 0 };
    groups.set(row.group, group);
    add(group, row.slot, measure.of(row));
  }
  const sorted = [...groups.values()].filter(({ sum }) => sum > 0).sort((a, b) => b.sum - a.sum);
  if (sorted.length <= MOST) return sorted;
  const rest = { name: REST, slots: new Map(), sum: 0 };
  for (const { slots } of sorted.splice(MOST - 1)) slots.forEach((value, slot) => add(rest, slot, value));
  return [...sorted, rest];
}

function add(group, slot, value) {
  group.slots.set(slot, (group.slots.get(slot) ?? 0) + value);
  group.sum += value;
}

/** A row's group may be empty: a request that involves no model. */
export const nameOf = (group) => group || "no model";
