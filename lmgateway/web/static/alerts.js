// The browser's notifications about LM Studio, loads and the line. Each browser has its own choice of them.

import { duration, plural } from "./format.js";

const NAME = "lmgateway.alerts";
const USUAL_LINE = 5;
const OFF = { studio: false, load: false, line: false, lineLength: USUAL_LINE };

export class Alerts {
  #chosen = read();
  // Older events are replayed when the page is opened.
  #since = null;
  #isLong = false;
  #wasReachable = null;

  get chosen() {
    return this.#chosen;
  }

  get isOn() {
    const { studio, load, line } = this.#chosen;
    return isAllowed() && (studio || load || line);
  }

  choose(chosen) {
    this.#chosen = { ...this.#chosen, ...chosen };
    localStorage.setItem(NAME, JSON.stringify(this.#chosen));
  }

  onEvent({ name, data }) {
    if (name === "connected") this.#since ??= data.timestamp;
    if (name === "model_load_complete" && this.#chosen.load && this.#isNew(data.timestamp)) {
      show("load", `${data.modelKey} is loaded`, `It took ${duration(data.totalTimeMs)}.`);
    }
  }

  /** How many requests wait, and since when; null if that is now. */
  lineChanged(waiting, timestamp) {
    const { line, lineLength } = this.#chosen;
    const isLong = waiting > lineLength;
    if (line && isLong && !this.#isLong && (timestamp === null || this.#isNew(timestamp))) {
      show("line", `${plural(waiting, "request waits", "requests wait")} in line`, `That is more than ${lineLength}.`);
    }
    this.#isLong = isLong;
  }

  /** Whether LM Studio answers; null if that is unknown. */
  studioChanged(isReachable) {
    if (this.#chosen.studio && this.#wasReachable && isReachable === false) show("studio", "LM Studio doesn't answer", "Requests fail until it does.");
    this.#wasReachable = isReachable ?? this.#wasReachable;
  }

  #isNew(timestamp) {
    return this.#since !== null && timestamp >= this.#since;
  }
}

/** Ask for the user's permission, if it isn't known. Resolves to null, or to why nothing can be shown. */
export async function askForAlerts() {
  if (!isSecureContext) return "Browsers show notifications only of pages opened by https, or on the gateway's own machine by localhost.";
  if (!("Notification" in window)) return "This browser has no notifications.";
  if (Notification.permission === "default") await Notification.requestPermission();
  if (!isAllowed()) return "The browser doesn't allow notifications of this page. Its settings for this site can allow them.";
  return show("on", "Notifications are on", "They come while the dashboard is open in a tab.") ? null : "This browser shows notifications of installed apps only.";
}

const isAllowed = () => "Notification" in window && Notification.permission === "granted";

/** Show a notification in place of the last one of its kind; returns whether the browser does. */
function show(kind, title, body) {
  if (!isAllowed()) return false;
  try {
    const notification = new Notification(title, { body, tag: `lmgateway.${kind}`, icon: "dashboard/static/icon.svg" });
    notification.addEventListener("click", () => window.focus());
    return true;
  } catch (error) {
    // Android's browsers have the class, and let only a service worker use it.
    if (error instanceof TypeError) return false;
    throw error;
  }
}

function read() {
  const text = localStorage.getItem(NAME);
  return text === null ? OFF : { ...OFF, ...JSON.parse(text) };
}
