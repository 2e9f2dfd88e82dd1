// What a request waits for before its first token, as a line of text.

import { ApiError, call } from "./api.js";
import { waitsFor } from "./describe.js";
import { byId, setText } from "./dom.js";
import { count, duration } from "./format.js";

const TURN_MS = 1000;
const SENT = "Waiting for the first token…";
const STILL = "Waiting in line, for the model to load, or for it to read the prompt…";

/** Keeps the line while a request waits. Those who may see the line also see their place in it. */
export class Waiting {
  #line = byId("chat-state");
  #mayAsk;
  #requestId;
  #began = performance.now();
  #timer = 0;
  #isOver = false;

  constructor(requestId, mayAsk) {
    this.#requestId = requestId;
    this.#mayAsk = mayAsk;
    this.#say(SENT);
    this.#timer = setTimeout(() => this.#turn(), TURN_MS);
  }

  /** The gateway sent a keep-alive. */
  keptAlive() {
    if (!this.#isOver && !this.#mayAsk) this.#say(STILL);
  }

  end(text = "") {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#say(text);
    this.#sayTime("");
  }

  async #turn() {
    this.#sayTime(duration(performance.now() - this.#began));
    const place = this.#mayAsk ? await this.#place() : null;
    if (this.#isOver) return;
    if (this.#mayAsk) this.#say(place ?? SENT);
    this.#timer = setTimeout(() => this.#turn(), TURN_MS);
  }

  async #place() {
    try {
      const { waiting } = await call("GET", "debug/queue");
      const own = waiting.find(({ requestId }) => requestId === this.#requestId);
      return own ? placeOf(own) : null;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      // It is asked for again with the next turn; the chat's own failure is shown elsewhere.
      return null;
    }
  }

  #say(text) {
    setText(this.#line.firstElementChild, text);
  }

  // Not read out: it changes each second.
  #sayTime(text) {
    setText(this.#line.lastElementChild, text);
  }
}

function placeOf(one) {
  const eta = one.etaMs === null ? "" : `, about ${duration(one.etaMs)} more`;
  return `${waitsFor(one)}: ${one.ahead === 0 ? "next in line" : `${count(one.ahead)} ahead in line`}${eta}…`;
}
