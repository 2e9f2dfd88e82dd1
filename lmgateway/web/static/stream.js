// The client of the event stream. Not an EventSource, because that can't send a key in a header.

import { request } from "./api.js";
import { SseParser } from "./sse.js";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;
// The gateway sends at least a comment every 30 seconds; without one for this long the connection is dead.
const SILENCE_MS = 75_000;
// A browser opens at most six connections to a host for all tabs together. So only the tab that was hidden last keeps
// its own, for its title and its notifications.
const HIDDEN_TABS = "lmgateway.hidden";

/**
 * Calls `onEvent({name, data})` for each event, `onState("live" | "lost" | "paused")` when that changes, and
 * `onForbidden()` if the key may no longer read events.
 */
export class Stream {
  #onEvent;
  #onState;
  #onForbidden;
  // 0 replays the whole history, so that loads in progress are known.
  #lastId = "0";
  #pauseMs = FIRST_PAUSE_MS;
  #connection = null;
  #timer = 0;
  #hiddenTabs = new BroadcastChannel(HIDDEN_TABS);
  #isReleased = false;

  constructor(onEvent, onState, onForbidden) {
    this.#onEvent = onEvent;
    this.#onState = onState;
    this.#onForbidden = onForbidden;
    document.addEventListener("visibilitychange", () => this.#visibilityChanged());
    this.#hiddenTabs.addEventListener("message", () => document.hidden && this.#release());
    addEventListener("online", () => this.#again(0));
    if (document.hidden) this.#hiddenTabs.postMessage("");
    this.#connect();
  }

  #visibilityChanged() {
    if (document.hidden) {
      this.#hiddenTabs.postMessage("");
    } else {
      this.#isReleased = false;
      this.#again(0);
    }
  }

  #release() {
    this.#isReleased = true;
    clearTimeout(this.#timer);
    this.#connection?.abort();
    this.#onState("paused");
  }

  #again(milliseconds) {
    if (this.#connection !== null || this.#isReleased) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#connect(), milliseconds);
  }

  async #connect() {
    if (this.#connection !== null) return;
    const connection = new AbortController();
    this.#connection = connection;
    try {
      await this.#read(connection);
    } catch (error) {
      // Reconnect after any failure. A refused key reloads the page.
      if (error.status === 403) this.#onForbidden();
    } finally {
      connection.abort();
      this.#connection = null;
    }
    if (this.#isReleased) return;
    this.#onState("lost");
    this.#again(this.#pauseMs * (0.75 + Math.random() / 2));
    this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS);
  }

  async #read(connection) {
    const headers = { Accept: "text/event-stream", "Last-Event-ID": this.#lastId };
    const response = await request("GET", "debug/stream", { headers, signal: connection.signal });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const parser = new SseParser();
    this.#pauseMs = FIRST_PAUSE_MS;
    this.#onState("live");
    for (;;) {
      const silence = setTimeout(() => connection.abort(), SILENCE_MS);
      const { value, done } = await reader.read().finally(() => clearTimeout(silence));
      if (done) return;
      for (const { name, data, id } of parser.feed(value)) {
        if (id !== null) this.#lastId = id;
        this.#onEvent({ name, data: JSON.parse(data) });
      }
    }
  }
}
