// The dashboard's entry point: logs in, then starts what the caller may see.

import { Activity } from "./activity.js";
import { showAlertChoices } from "./alerts-view.js";
import { Alerts } from "./alerts.js";
import { onRefused } from "./api.js";
import { Connect } from "./connect.js";
import { byId, setText } from "./dom.js";
import { timeOfDay } from "./format.js";
import { key } from "./key-store.js";
import { Keys } from "./keys.js";
import { Log } from "./log.js";
import { logIn, startOver } from "./login.js";
import { Models } from "./models.js";
import { notifyError } from "./notices.js";
import { Requests } from "./requests.js";
import { Stream } from "./stream.js";
import { watchStudio } from "./studio.js";
import { System } from "./system.js";
import { showActivityInTitle } from "./title.js";
import { Trends } from "./trends.js";
import { Usage } from "./usage.js";
import { Views } from "./views.js";
import { soon, whileVisible } from "./visible.js";

const MODELS_SECONDS = 5;
const STATES = { live: "Live", lost: "Connection lost, trying again", paused: "Paused" };

const caller = await logIn();
// Without a key, the first one was made elsewhere.
onRefused(() => startOver(key.get() !== null));
byId("dashboard").hidden = false;

const views = new Views();
const isShown = (name) => () => views.isShown(name);
const models = caller.has("models") ? new Models() : null;
const alerts = new Alerts();
const activity = new Activity(activityChanged);
const trends = caller.has("observe") ? new Trends(isShown("now")) : null;
const requests = caller.has("observe") ? new Requests(caller, reported) : null;
const log = caller.has("observe") ? new Log(caller.has("log")) : null;
const usage = caller.has("observe") ? new Usage() : null;
const keys = caller.has("admin") ? new Keys(caller, { isShown: isShown("keys"), modelKeys: () => models.keys() }) : null;
const connect = new Connect(caller, isShown("connect"));
const system = caller.has("observe") ? new System(caller, isShown("system")) : null;
const listeners = [alerts, activity, models, requests, log, keys, { onEvent: rightsChanged }].filter((listener) => listener !== null);

views.start({
  ...(requests && { now: () => trends.shown() }),
  ...(models && { models: () => {} }),
  ...(usage && { usage: () => usage.shown() }),
  ...(keys && { keys: () => keys.shown() }),
  connect: () => connect.shown(),
  ...(log && { log: () => {} }),
  ...(system && { system: () => system.shown() }),
});
byId("content").focus({ preventScroll: true });

byId("tile-active").hidden = models === null;
models?.start();
// Without events.
if (models && !requests) whileVisible(MODELS_SECONDS, () => models.refresh());
requests?.start();
const askStudio = caller.has("observe") ? watchStudio(studioChanged, () => alerts.isOn) : null;
const refreshCaller = soon(100, () => caller.refresh().catch(notifyError));
showAlertChoices(alerts);
if (caller.has("observe")) new Stream((event) => listeners.forEach((listener) => listener.onEvent(event)), showState, refreshCaller);

function reported(report, queue) {
  models?.queueChanged(queue);
  trends.reported(report.lastHour);
  // Of a page that was hidden meanwhile, the events are newer.
  if (!document.hidden) activity.reported(report.running, queue);
}

function activityChanged(numbers, timestamp) {
  showActivityInTitle(numbers);
  alerts.lineChanged(numbers.waiting, timestamp);
}

function studioChanged(isReachable) {
  models?.refresh();
  alerts.studioChanged(isReachable);
}

function rightsChanged({ name, data }) {
  if (name === "key_changed" && data.key === caller.name) refreshCaller();
}

let state = "";
let asOf = Date.now();

function showState(changed) {
  // The page was up to date until the connection was lost.
  if (state === "live") asOf = Date.now();
  state = changed;
  const line = byId("live");
  line.hidden = false;
  line.dataset.state = state;
  setText(line, STATES[state]);
  showStale(state === "lost");
  if (state !== "live") showActivityInTitle(null);
  if (state === "live") {
    models?.reconnected();
    requests.refresh();
    askStudio();
  }
}

// A banner marks outdated numbers, which would look like an idle gateway.
function showStale(isStale) {
  const banner = byId("stale");
  setText(banner, `The connection to the gateway is lost. The page may show the state of ${timeOfDay(asOf)}.`);
  banner.hidden = !isStale;
  byId("dashboard").classList.toggle("stale", isStale);
}
