// An answer in the conversation while it grows: its reasoning, its text, and how fast it came.

import { showText } from "./chat-text.js";
import { make, setText } from "./dom.js";
import { duration, plural, speed } from "./format.js";

// Some models think in their text, if LM Studio doesn't set it apart.
const THINKING = /^\s*<think>([^]*?)(?:<\/think>\s*|$)/;

/** A message of the conversation with who wrote it. */
export function message(who, ...nodes) {
  return make("div", { class: who === "You" ? "message own" : "message" }, make("h3", {}, who), ...nodes);
}

export class Answer {
  #reasoning = "";
  #content = "";
  #began = performance.now();
  #first = null;
  #last = null;
  #frame = 0;
  #summary = make("summary", {}, "Thinking…");
  #thoughts = make("div", { class: "thoughts" });
  #details = make("details", { hidden: true }, this.#summary, this.#thoughts);
  #text = make("div", { class: "answer" });
  #figures = make("p", { class: "hint figures" });
  #onShown;
  node = message("Model", this.#details, this.#text, this.#figures);

  /** `onShown` is called after each change of the node. */
  constructor(onShown) {
    this.#onShown = onShown;
  }

  /** Without its reasoning, which isn't sent again. */
  get content() {
    return this.#content.replace(THINKING, "");
  }

  get hasBegun() {
    return this.#first !== null;
  }

  add({ reasoning, content }) {
    this.#last = performance.now();
    this.#first ??= this.#last;
    this.#reasoning += reasoning;
    this.#content += content;
    // Tokens come faster than frames.
    if (this.#frame === 0) this.#frame = requestAnimationFrame(() => this.#show());
  }

  /** Show all of it, with its figures, or that it was stopped. */
  end({ model, usage, finish, isStopped } = {}) {
    cancelAnimationFrame(this.#frame);
    const tokens = usage?.completion_tokens;
    const seconds = (this.#last - this.#first) / 1000;
    const figures = [
      isStopped && "Stopped",
      tokens && plural(tokens, "token", "tokens"),
      // The first token's time isn't among them.
      tokens > 1 && seconds > 0 && `${speed((tokens - 1) / seconds)} tokens/s`,
      this.hasBegun && `first token after ${duration(this.#first - this.#began)}`,
      model,
      finish === "length" && "cut off at the limit of tokens",
    ];
    setText(this.#figures, figures.filter(Boolean).join(" · "));
    this.#show();
  }

  #show() {
    this.#frame = 0;
    const thinking = THINKING.exec(this.#content)?.[1] ?? "";
    const reasoning = (this.#reasoning + thinking).trim();
    this.#details.hidden = reasoning === "";
    showText(this.#thoughts, reasoning);
    showText(this.#text, this.content);
    setText(this.#summary, this.content === "" ? "Thinking…" : "Reasoning");
    this.#onShown();
  }
}
