// The requests that run, wait in line and have ended, and the line: fetched after an event, and every second while a
// request runs or the models in memory change.

import { call } from "./api.js";
import { onBox } from "./boxes.js";
import { askToCancel } from "./cancel-dialog.js";
import { answeredBy, clientOf, whoOf } from "./describe.js";
import { actionButton, byId, make, reconcile, setText } from "./dom.js";
import { count, duration, median, percent, plural, speed } from "./format.js";
import { nameLine, showShares, showWaiting, updateName } from "./queue.js";
import { showRecent } from "./recent.js";
import { soon } from "./visible.js";

const POLL_MS = 1000;
const AGAIN_MS = 5000;
const NO_QUEUE = { running: [], waiting: [] };
const OF_REQUESTS = /^(inference_|request_|model_(?!load_progress)|error$|lagged$)/;

export class Requests {
  #caller;
  #onReport;
  #timer = 0;
  #refreshSoon = soon(250, () => this.#refresh());

  /** `onReport` gets each report of /debug/requests, and that of the line. */
  constructor(caller, onReport) {
    this.#caller = caller;
    this.#onReport = onReport;
  }

  start() {
    document.addEventListener("visibilitychange", () => this.#refreshSoon());
    this.#refreshSoon();
  }

  refresh() {
    this.#refreshSoon();
  }

  onEvent({ name }) {
    if (OF_REQUESTS.test(name)) this.#refreshSoon();
  }

  async #refresh() {
    clearTimeout(this.#timer);
    if (document.hidden) return;
    try {
      const [report, queue] = await Promise.all([call("GET", "debug/requests"), call("GET", "debug/queue")]);
      const { running, recent, lastHour } = report;
      showRunning(running, queue, this.#caller);
      showShares(queue);
      this.#onReport(report, queue);
      showRecent(recent);
      showSpeed(lastHour);
      setText(byId("requests-mistake"), "");
      if (running.length + queue.running.length > 0 || isChanging(queue)) this.#timer = setTimeout(this.#refreshSoon, POLL_MS);
    } catch (error) {
      setText(byId("requests-mistake"), error.message);
      showRunning(null, NO_QUEUE, this.#caller);
      this.#timer = setTimeout(this.#refreshSoon, AGAIN_MS);
    }
  }
}

// A model is being loaded, drained or replaced.
const isChanging = ({ instances, swap }) => swap !== null || instances.some(({ state }) => state !== "resident");

/** Show the requests that LM Studio has, and those that wait in line; null if they are unknown. */
function showRunning(requests, queue, caller) {
  const inLine = new Set(queue.waiting.map((one) => one.requestId));
  const leases = new Map(queue.running.map((one) => [one.requestId, one]));
  const running = (requests ?? []).filter((one) => !(inLine.has(one.requestId) && one.phase === "waiting")).map((one) => ({ ...one, gpuMs: leases.get(one.requestId)?.gpuMs, box: leases.get(one.requestId)?.box }));
  const lingering = queue.running.filter((one) => one.phase === "lingering");
  const mayCancel = (one) => caller.has("admin") || (caller.has("inference") && one.key === caller.name);
  const cancelOf = (one) => (one.method && mayCancel(one) ? cancelButton(one) : "");
  reconcile(byId("running"), [...running, ...lingering], (one) => one.requestId, (one) => runningRow(cancelOf(one)), updateRunning);
  showWaiting(queue.waiting, new Map(requests?.map((one) => [one.requestId, one])), cancelOf);
  const isIdle = running.length + lingering.length === 0;
  byId("running").hidden = isIdle;
  byId("running-empty").hidden = requests === null || !isIdle || inLine.size > 0;
  const [big, sub] = byId("tile-running").querySelectorAll("p");
  setText(big, requests === null ? "Unknown" : count(requests.length));
  setText(sub, requests === null ? "" : aboutRunning(running, queue.waiting.length));
}

function aboutRunning(running, inLine) {
  if (running.length + inLine === 0) return "No requests";
  const generating = running.filter((one) => one.phase === "generating").length;
  const others = running.length - generating;
  return [`${count(generating)} generating`, others > 0 && `${count(others)} before the first token`, inLine > 0 && `${count(inLine)} in line`].filter(Boolean).join(", ");
}

function showSpeed(lastHour) {
  const speeds = lastHour.map((one) => one.tokensPerSecond).filter((value) => value !== null);
  const [big, sub] = byId("tile-speed").querySelectorAll("p");
  setText(big, speeds.length ? `${speed(speeds.at(-1))} tokens/s` : "–");
  setText(sub, speeds.length ? `Median of the last hour: ${speed(median(speeds))}` : lastHour.length ? "No answer of 8 tokens in the last hour" : "No tokens in the last hour");
}

function cancelButton(one) {
  return actionButton("Cancel", () => askToCancel(one), { "aria-label": `Cancel the request ${one.method} ${one.path} of ${whoOf(one)}` });
}

function runningRow(cancel) {
  return make(
    "li",
    { class: "row" },
    make("div", { class: "what" }, nameLine(), make("p", { class: "phase" }), make("progress", { max: 1 }), make("p", { class: "sub" })),
    make("div", { class: "actions" }, cancel),
  );
}

function updateRunning(node, one) {
  updateName(node, whoOf(one), one.model ?? one.servedModel ?? "no model");
  setText(node.querySelector(".phase"), phaseOf(one));
  const used = one.gpuMs !== undefined && `${duration(one.gpuMs)} of the GPU`;
  const details = [answeredBy(one), onBox(one.box), one.method && duration(one.elapsedMs), used, one.method && `${one.method} ${one.path}`, clientOf(one)];
  setText(node.querySelector(".sub"), details.filter(Boolean).join(" · "));
  node.dataset.phase = one.phase;
  const bar = node.querySelector("progress");
  bar.hidden = one.phase !== "prompt" || (one.promptProgress ?? null) === null;
  bar.value = one.promptProgress ?? 0;
  bar.setAttribute("aria-label", "Prompt processed");
}

function phaseOf({ phase, promptProgress, tokens, tokensPerSecond }) {
  if (phase === "waiting") return "Waiting for LM Studio";
  if (phase === "lingering") return "Its client left; LM Studio still processes its prompt";
  if (phase === "prompt") return promptProgress === null ? "Processing the prompt" : `Processing the prompt, ${percent(promptProgress)}`;
  const rate = tokensPerSecond === null ? "" : `, ${speed(tokensPerSecond)} tokens/s`;
  return `Generating, ${plural(tokens, "token", "tokens")}${rate}`;
}
