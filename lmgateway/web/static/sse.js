// An incremental parser of Server-Sent Events (HTML standard, section 9.2.6).

export class SseParser {
  #rest = "";
  #name = "";
  #data = [];
  #id = null;

  /** Parse the next chunk; returns the events that it completes, as {name, data, id}. */
  feed(text) {
    this.#rest += text;
    const events = [];
    for (;;) {
      const lineEnd = /\r\n|\n|\r/.exec(this.#rest);
      // A lone CR at the end may be the first half of CRLF.
      if (lineEnd === null || (lineEnd[0] === "\r" && lineEnd.index === this.#rest.length - 1)) return events;
      const line = this.#rest.slice(0, lineEnd.index);
      this.#rest = this.#rest.slice(lineEnd.index + lineEnd[0].length);
      const event = this.#line(line);
      if (event !== null) events.push(event);
    }
  }

  #line(line) {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.#name = value;
    else if (field === "data") this.#data.push(value);
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    return null;
  }

  #dispatch() {
    const event = { name: this.#name || "message", data: this.#data.join("\n"), id: this.#id };
    const isEvent = this.#data.length > 0;
    this.#name = "";
    this.#data = [];
    return isEvent ? event : null;
  }
}
