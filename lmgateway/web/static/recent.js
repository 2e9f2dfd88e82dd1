// The last requests that ended, newest first.

import { answeredBy, callerOf } from "./describe.js";
import { byId, make, reconcile } from "./dom.js";
import { count, duration, speed, timeOfDay } from "./format.js";

const OUTCOMES = { completed: "Done", failed: "Failed", aborted: "Stopped", cancelled: "Cancelled" };

export function showRecent(recent) {
  const newestFirst = recent.toReversed?.() ?? [...recent].reverse();
  reconcile(byId("recent"), newestFirst, (one) => `${one.timestamp} ${one.requestId}`, recentRow, () => {});
  byId("recent-box").hidden = recent.length === 0;
  byId("recent-empty").hidden = recent.length > 0;
}

function recentRow(one) {
  const usage = one.tokenUsage;
  const status = make("span", { class: `badge ${moodOf(one)}` }, statusOf(one));
  return make(
    "tr",
    { role: "row" },
    cell("Time", "when", make("time", { datetime: one.timestamp }, timeOfDay(one.timestamp))),
    cell("Request", "request", make("span", { class: "name" }, one.model ?? one.servedModel ?? one.path), make("span", { class: "sub" }, detailOf(one))),
    cell("Status", "status", status),
    cell("Tokens in", "number", count(usage?.promptTokens)),
    cell("Tokens out", "number", count(usage?.completionTokens ?? (one.tokens || null)), ...reasoningOf(usage)),
    cell("First token", "number", duration(one.ttftMs)),
    cell("Tokens/s", "number", speed(one.tokensPerSecond)),
    cell("Total", "number", duration(one.totalTimeMs)),
  );
}

function cell(column, kind, ...children) {
  return make("td", { role: "cell", class: kind, "data-column": column }, ...children);
}

function reasoningOf(usage) {
  return usage?.reasoningTokens ? [make("span", { class: "sub" }, `${count(usage.reasoningTokens)} reasoning`)] : [];
}

function detailOf(one) {
  const what = one.model === null && one.servedModel === null ? one.method : `${one.method} ${one.path}`;
  const mended = one.mended.length > 0 && `mended: ${one.mended.join(", ")}`;
  return [answeredBy(one), what, callerOf(one), mended, one.error].filter(Boolean).join(" · ");
}

// A completed exchange may still be an error response: show the status too.
function statusOf({ outcome, status }) {
  return [OUTCOMES[outcome] ?? outcome, status].filter(Boolean).join(" ");
}

function moodOf({ outcome, status }) {
  if (outcome === "aborted" || outcome === "cancelled") return "quiet";
  return outcome === "failed" || status >= 400 ? "bad" : "good";
}
