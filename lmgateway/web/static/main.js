// The dashboard's entry point: logs in, then starts everything that listens to events.

import { onRefused } from "./api.js";
import { byId, setText } from "./dom.js";
import { timeOfDay } from "./format.js";
import { prepareLoadDialog } from "./load-dialog.js";
import { Log } from "./log.js";
import { logIn, startOver } from "./login.js";
import { Models } from "./models.js";
import { Requests } from "./requests.js";
import { Stream } from "./stream.js";
import { watchStudio } from "./studio.js";

const STATES = { live: "Live", lost: "Connection lost, trying again", paused: "Paused" };

await logIn();
onRefused(() => startOver(true));
byId("dashboard").hidden = false;
byId("content").focus({ preventScroll: true });
prepareLoadDialog();

const models = new Models();
const requests = new Requests();
const log = new Log();
const listeners = [models, requests, log];

models.start();
requests.start();
const askStudio = watchStudio(() => models.refresh());
new Stream((event) => listeners.forEach((listener) => listener.onEvent(event)), showState);

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
  if (state === "live") {
    models.reconnected();
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
