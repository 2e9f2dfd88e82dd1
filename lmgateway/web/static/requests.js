// The running and recent requests: fetched after an event about one, and every second while one runs.

import { call } from "./api.js";
import { showCharts } from "./charts.js";
import { answeredBy, callerOf } from "./describe.js";
import { actionButton, byId, make, reconcile, setText } from "./dom.js";
import { count, duration, median, percent, plural, speed } from "./format.js";
import { notify, notifyError } from "./notices.js";
import { showRecent } from "./recent.js";
import { soon } from "./visible.js";

const POLL_MS = 1000;
const AGAIN_MS = 5000;
const CHART_SECONDS = 30;
const OF_REQUESTS = /^(inference_|error$|lagged$)/;

export class Requests {
  #caller;
  #timer = 0;
  #lastHour = [];
  #refreshSoon = soon(250, () => this.#refresh());

  constructor(caller) {
    this.#caller = caller;
  }

  start() {
    document.addEventListener("visibilitychange", () => this.#refreshSoon());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => showCharts(this.#lastHour));
    setInterval(() => document.hidden || showCharts(this.#lastHour), CHART_SECONDS * 1000);
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
      const { running, recent, lastHour } = await call("GET", "debug/requests");
      showRunning(running, this.#caller);
      showRecent(recent);
      showCharts(lastHour);
      showSpeed(lastHour);
      this.#lastHour = lastHour;
      setText(byId("requests-mistake"), "");
      if (running.length > 0) this.#timer = setTimeout(this.#refreshSoon, POLL_MS);
    } catch (error) {
      setText(byId("requests-mistake"), error.message);
      showRunning(null, this.#caller);
      this.#timer = setTimeout(this.#refreshSoon, AGAIN_MS);
    }
  }
}

/** Show the running requests; null if they are unknown. */
function showRunning(running, caller) {
  const mayCancel = (one) => caller.has("admin") || (caller.has("inference") && one.key === caller.name);
  reconcile(byId("running"), running ?? [], (one) => one.requestId, (one) => runningRow(one, mayCancel(one)), updateRunning);
  byId("running").hidden = !running?.length;
  byId("running-empty").hidden = running?.length !== 0;
  const [big, sub] = byId("tile-running").querySelectorAll("p");
  setText(big, running === null ? "Unknown" : count(running.length));
  setText(sub, running === null ? "" : aboutRunning(running));
}

function aboutRunning(running) {
  if (running.length === 0) return "No requests";
  const generating = running.filter((one) => one.phase === "generating").length;
  return `${count(generating)} generating, ${count(running.length - generating)} waiting`;
}

function showSpeed(lastHour) {
  const speeds = lastHour.map((one) => one.tokensPerSecond).filter((value) => value !== null);
  const [big, sub] = byId("tile-speed").querySelectorAll("p");
  setText(big, speeds.length ? `${speed(speeds.at(-1))} tokens/s` : "–");
  setText(sub, speeds.length ? `Median of the last hour: ${speed(median(speeds))}` : "No tokens in the last hour");
}

function runningRow(one, mayCancel) {
  const cancel = actionButton("Cancel", () => cancelRequest(one.requestId), {
    "aria-label": `Cancel the request ${one.method} ${one.path} from ${one.client}`,
  });
  return make(
    "li",
    { class: "row" },
    make("div", { class: "what" }, make("p", { class: "name" }), make("p", { class: "phase" }), make("progress", { max: 1 }), make("p", { class: "sub" })),
    make("div", { class: "actions" }, mayCancel ? cancel : ""),
  );
}

function updateRunning(node, one) {
  setText(node.querySelector(".name"), one.model ?? one.servedModel ?? "No model");
  setText(node.querySelector(".phase"), phaseOf(one));
  const details = [answeredBy(one), duration(one.elapsedMs), `${one.method} ${one.path}`, callerOf(one)];
  setText(node.querySelector(".sub"), details.filter(Boolean).join(" · "));
  node.dataset.phase = one.phase;
  const bar = node.querySelector("progress");
  bar.hidden = one.phase !== "prompt" || one.promptProgress === null;
  bar.value = one.promptProgress ?? 0;
  bar.setAttribute("aria-label", "Prompt processed");
}

function phaseOf({ phase, promptProgress, tokens, tokensPerSecond }) {
  if (phase === "waiting") return "Waiting";
  if (phase === "prompt") return promptProgress === null ? "Processing the prompt" : `Processing the prompt, ${percent(promptProgress)}`;
  const rate = tokensPerSecond === null ? "" : `, ${speed(tokensPerSecond)} tokens/s`;
  return `Generating, ${plural(tokens, "token", "tokens")}${rate}`;
}

async function cancelRequest(requestId) {
  try {
    await call("DELETE", `debug/requests/${encodeURIComponent(requestId)}`);
    notify("The request was cancelled.");
  } catch (error) {
    if (error.status === 404) notify("The request had already ended.");
    else notifyError(error);
  }
}
