// The page from its start: in with the key, then everything that listens.

import { onRefused } from "./api.js";
import { byId, setText } from "./dom.js";
import { prepareLoadDialog } from "./load-dialog.js";
import { Log } from "./log.js";
import { comeIn, startOver } from "./login.js";
import { Models } from "./models.js";
import { Requests } from "./requests.js";
import { Stream } from "./stream.js";
import { watchStudio } from "./studio.js";

const STATES = { live: "Live", lost: "Connection lost, trying again", paused: "Paused" };

await comeIn();
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
watchStudio(() => models.refresh());
new Stream((event) => listeners.forEach((listener) => listener.onEvent(event)), showState);

function showState(state) {
  const line = byId("live");
  line.hidden = false;
  line.dataset.state = state;
  setText(line, STATES[state]);
  if (state === "live") {
    models.reconnected();
    requests.refresh();
  }
}
