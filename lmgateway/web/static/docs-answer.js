// Shows the answer to a request that was sent from the page. All of it is shown as text, whatever its type is.

import { code, json } from "./docs-text.js";
import { make, setText } from "./dom.js";
import { duration, plural } from "./format.js";
import { SseParser } from "./sse.js";

const UNANSWERED = "The gateway doesn't answer. Is it running, and are you on its network?";
const STREAM_TYPE = "text/event-stream";
const SHOWN_HEADERS = /^(content-type|retry-after|x-(request-id|mended|ignored|refused-reason|ratelimit-.*))$/;
const TEXT_TYPES = /^(text\/|image\/svg\+xml|application\/(.*\+)?(json|xml|javascript)\b)/;
const MOST_CHARACTERS = 1_000_000;
const MOST_PIECES = 500;

export class AnswerView {
  #badge = make("span", { class: "badge", hidden: true });
  #status = make("span", { role: "status" });
  #parts = make("div", { class: "answer" });
  #started = 0;
  node = make("div", { class: "answer tried" }, make("p", { class: "status" }, this.#badge, this.#status), this.#parts);

  /** Send a request by calling `send`, which returns fetch's promise, and show its answer until it has ended. */
  async follow(send) {
    this.#started = performance.now();
    this.clear();
    setText(this.#status, "Waiting for the answer…");
    const response = await this.#unless(send(), UNANSWERED);
    if (response === null) return;
    this.#showHead(response);
    const type = response.headers.get("Content-Type") ?? "";
    const isText = TEXT_TYPES.test(type);
    const body = type.startsWith(STREAM_TYPE) ? new Pieces() : isText ? new Whole(type) : new Size();
    this.#parts.append(body.node);
    if (await this.#read(response, body)) setText(this.#status, `${this.#words(response)}, ended after ${this.#passed()}${body.summary()}.`);
  }

  clear() {
    this.#badge.hidden = true;
    this.#parts.replaceChildren();
    setText(this.#status, "");
  }

  /** Feed the body to its part of the view; returns whether it has ended by itself. */
  async #read(response, body) {
    if (response.body === null) return true;
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    for (;;) {
      const chunk = await this.#unless(reader.read(), `The connection was lost after ${this.#passed()}.`);
      if (chunk === null) return false;
      const isWanted = body.feed(chunk.done ? decoder.decode() : decoder.decode(chunk.value, { stream: true }), chunk.value?.length ?? 0);
      if (chunk.done) body.end();
      if (chunk.done) return true;
      if (!isWanted) await reader.cancel();
    }
  }

  /** Await one step of a request; null if it failed, which the status says. */
  async #unless(step, failure) {
    try {
      return await step;
    } catch (error) {
      setText(this.#status, error.name === "AbortError" ? `Stopped after ${this.#passed()}.` : failure);
      return null;
    }
  }

  #showHead(response) {
    this.#badge.className = `badge ${response.ok ? "good" : "bad"}`;
    this.#badge.hidden = false;
    setText(this.#badge, String(response.status));
    setText(this.#status, `${this.#words(response)}, began after ${this.#passed()}.`);
    const shown = [...response.headers].filter(([name]) => SHOWN_HEADERS.test(name));
    const rows = shown.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)));
    if (rows.length > 0) this.#parts.append(make("dl", { class: "heads" }, ...rows));
  }

  #words({ statusText, redirected, url }) {
    return `${statusText || "Answered"}${redirected ? `, redirected to ${new URL(url).pathname}` : ""}`;
  }

  #passed() {
    return duration(performance.now() - this.#started);
  }
}

/** A text, which is shown when it has ended; JSON is indented. */
class Whole {
  #text = "";
  #isCut = false;
  node = make("div", { class: "answer" });

  constructor(type) {
    this.isJson = /json/.test(type);
  }

  feed(text) {
    this.#isCut = this.#text.length + text.length > MOST_CHARACTERS;
    this.#text += text.slice(0, MOST_CHARACTERS - this.#text.length);
    return !this.#isCut;
  }

  end() {
    if (this.#text === "") this.node.append(make("p", { class: "hint" }, "The answer has no body."));
    else this.node.append(code(this.isJson ? indented(this.#text) : this.#text, "Answer"));
  }

  summary() {
    return this.#isCut ? `: the first ${plural(MOST_CHARACTERS, "character", "characters")}` : "";
  }
}

/** The events of a stream, each as soon as it arrives. */
class Pieces {
  #parser = new SseParser();
  #count = 0;
  #total = make("p", { class: "hint" });
  #list = make("ol", { role: "list" });
  #box = make("div", { class: "code pieces", tabindex: "0", role: "group", "aria-label": "Answer" }, this.#list);
  node = make("div", { class: "answer" }, this.#total, this.#box);

  feed(text) {
    const { scrollTop, scrollHeight, clientHeight } = this.#box;
    const isAtEnd = scrollTop + clientHeight >= scrollHeight - 1;
    const events = this.#parser.feed(text);
    this.#list.append(...events.slice(-MOST_PIECES).map(pieceNode));
    while (this.#list.children.length > MOST_PIECES) this.#list.firstElementChild.remove();
    this.#count += events.length;
    const shown = this.#count > MOST_PIECES ? `; the last ${MOST_PIECES} are shown` : "";
    setText(this.#total, `${plural(this.#count, "piece", "pieces")}${shown}`);
    if (isAtEnd) this.#box.scrollTop = this.#box.scrollHeight;
    return true;
  }

  end() {}

  summary() {
    return "";
  }
}

// An event without a name has the name "message".
function pieceNode({ name, data }) {
  return make("li", {}, name === "message" ? "" : make("b", {}, name), make("span", {}, data));
}

/** A body that isn't text, of which only the size is shown. */
class Size {
  #bytes = 0;
  node = make("p", { class: "hint" });

  feed(_, bytes) {
    this.#bytes += bytes;
    return true;
  }

  end() {
    setText(this.node, this.#bytes === 0 ? "The answer has no body." : `${plural(this.#bytes, "byte", "bytes")}, not text.`);
  }

  summary() {
    return "";
  }
}

function indented(text) {
  try {
    return json(JSON.parse(text));
  } catch {
    return text;
  }
}
