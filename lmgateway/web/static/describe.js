// Describes an event in one line.

import { onBox } from "./boxes.js";
import { count, duration, speed } from "./format.js";

const HIDDEN = new Set(["timestamp", "requestId", "message"]);

const SENTENCES = {
  lagged: (data) => `${count(data.missed)} events were lost, because this page was too slow`,
  model_load_start: model,
  model_load_progress: (data) => `${model(data)}, ${data.progress} %`,
  model_load_complete: (data) => `${model(data)} in ${duration(data.totalTimeMs)}${data.activated ? ", now active" : ""}`,
  model_unload_start: model,
  model_unload_complete: (data) => `${model(data)} in ${duration(data.totalTimeMs)}`,
  model_drain_start: (data) => parts(`${model(data)} gets no new requests`, `${count(data.running)} running`, data.for && `to make room for ${data.for}`),
  model_drain_end: (data) => `${model(data)} ${data.outcome === "revoked" ? "stays, because its room isn't needed any more" : "was unloaded"}`,
  model_activate: model,
  inference_start: (data) => parts(`${data.method} ${data.path}`, data.model, callerOf(data)),
  request_queued: (data) => parts(`${data.model} in line`, WAITS_FOR[data.reason], `${count(data.ahead)} ahead`, data.etaMs && `about ${duration(data.etaMs)}`, `by ${data.key}`),
  request_dispatched: (data) => `${data.model} on ${data.box} after ${duration(data.waitedMs)} in line`,
  inference_complete: (data) =>
    parts(
      data.status && `status ${data.status}`,
      data.servedModel && `answered by ${data.servedModel}`,
      data.tokenUsage && `${count(data.tokenUsage.completionTokens)} tokens`,
      data.tokenUsage?.reasoningTokens && `${count(data.tokenUsage.reasoningTokens)} of them reasoning`,
      data.tokensPerSecond && `${speed(data.tokensPerSecond)} tokens/s`,
      data.ttftMs && `first token after ${duration(data.ttftMs)}`,
      data.queuedMs && `${duration(data.queuedMs)} in line`,
      onBox(data.box),
      duration(data.totalTimeMs),
      data.mended && `mended: ${data.mended.join(", ")}`,
    ),
  box_state: (data) => `${data.box} is ${BOX_STATES[data.state] ?? data.state}: ${data.reason}`,
  key_changed: (data) => `${data.key} ${CHANGES[data.change]}`,
  error: (data) => parts(data.operation, data.modelKey, data.error),
};

const BOX_STATES = { up: "up", down: "down", waking: "being woken up", draining: "draining" };

const WAITS_FOR = {
  slot: "for a free slot",
  key_limit: "for another request of its key",
  context: "for room in the context",
  model: "for its model",
  box: "for LM Studio",
};

/** Say what a request in line waits for. */
export const waitsFor = ({ reason }) => `waits ${WAITS_FOR[reason] ?? `(${reason})`}`;

/** Say which model answered, if another one was asked for. */
export const answeredBy = ({ model, servedModel }) => model && servedModel && `answered by ${servedModel}`;

// Those of no named key are called by their address alone.
const UNNAMED = new Set([undefined, "anyone", "owner"]);

/** The name of who sent a request: its key's, or without keys its address. */
export const whoOf = ({ key, client }) => (key === "anyone" && client ? client : key);

/** Say where a request came from, if `whoOf` doesn't. */
export const clientOf = ({ key, client }) => client && key !== "anyone" && `from ${client}`;

/** Say who sent a request. */
export const callerOf = ({ key, client }) => client && (UNNAMED.has(key) ? `from ${client}` : `by ${key} from ${client}`);

const CHANGES = { made: "was made", changed: "was changed", rotated: "has a new secret", revoked: "was revoked" };

export function describe({ name, data }) {
  return SENTENCES[name]?.(data) ?? data.message ?? fields(data);
}

function model({ modelKey, instanceId, box }) {
  return [modelKey, instanceId && `as ${instanceId}`, onBox(box)].filter(Boolean).join(" ");
}

function parts(...texts) {
  return texts.filter(Boolean).join(" · ");
}

function fields(data) {
  const shown = Object.entries(data).filter(([name, value]) => !HIDDEN.has(name) && value !== null);
  return shown.map(([name, value]) => `${name}: ${typeof value === "object" ? JSON.stringify(value) : value}`).join(" · ");
}
