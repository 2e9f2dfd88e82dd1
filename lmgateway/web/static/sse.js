// Server-Sent Events out of text that comes in pieces (HTML standard, section 9.2.6).

export class SseParser {
  #rest = "";
  #name = "";
  #data = [];
  #id = null;

  /** Take the next piece in; returns the events that it completes, as {name, data, id}. */
  feed(text) {
    this.#rest += text;
    const events = [];
    for (;;) {
      const found = /\r\n|\n|\r/.exec(this.#rest);
      // A lone CR at the end may be the first half of CRLF.
      if (found === null || (found[0] === "\r" && found.index === this.#rest.length - 1)) return events;
      const line = this.#rest.slice(0, found.index);
      this.#rest = this.#rest.slice(found.index + found[0].length);
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
