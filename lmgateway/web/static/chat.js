// The view to chat with a model. The conversation is in this page's memory, and nowhere else.

import { ApiError } from "./api.js";
import { Answer, message } from "./chat-answer.js";
import { chat, newRequestId } from "./chat-request.js";
import { showText } from "./chat-text.js";
import { Waiting } from "./chat-waiting.js";
import { byId, make, options, setText } from "./dom.js";
import { usableModels } from "./model-names.js";

// So far from its end the log still counts as being there.
const NEAR_PX = 48;
const ON_TOUCH = matchMedia("(hover: none)");

export class Chat {
  #caller;
  #messages = [];
  #running = null;
  #isAtEnd = true;

  constructor(caller) {
    this.#caller = caller;
    this.#offer([]);
    byId("chat-text").addEventListener("keydown", (event) => {
      // While an input method composes a word, Enter accepts the word.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#send();
    });
    byId("view-chat").addEventListener("keydown", (event) => event.key === "Escape" && this.#running?.abort());
    byId("chat-send").addEventListener("click", (event) => {
      event.preventDefault();
      // The second click of a double click on Send doesn't stop the answer.
      if (event.detail < 2) this.#sendOrStop();
    });
    byId("chat-log").addEventListener("scroll", ({ target: log }) => {
      this.#isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_PX;
    });
    byId("chat-clear").addEventListener("click", () => this.#clear());
  }

  async shown() {
    try {
      this.#offer((await usableModels()).filter(({ chats }) => chats).map(({ name }) => name));
    } catch (error) {
      setText(byId("chat-mistake"), `The models can't be listed: ${error.message}`);
    }
  }

  /** Offer these models; the selected one stays. */
  #offer(names) {
    const select = byId("chat-model");
    const before = select.value;
    const { model } = this.#caller.own.key;
    const byDefault = ["", model ? `your default: ${model}` : "the active model"];
    select.replaceChildren(...options([byDefault, ...names.map((name) => [name, name])]));
    if (names.includes(before)) select.value = before;
  }

  #sendOrStop() {
    if (this.#running === null) return this.#send();
    this.#running.abort();
    // On a touch screen it would open the keyboard.
    if (!ON_TOUCH.matches) byId("chat-text").focus();
  }

  async #send() {
    const text = byId("chat-text").value.trim();
    const settings = this.#settings();
    if (this.#running !== null || text === "" || settings === null) return;
    byId("chat-text").value = "";
    setText(byId("chat-mistake"), "");
    const question = { role: "user", content: text };
    const answer = new Answer(() => this.#follow());
    const own = message("You");
    const box = make("div");
    own.append(box);
    showText(box, text);
    await this.#exchange({ text, question, answer, nodes: [own, answer.node], settings });
  }

  async #exchange({ text, question, answer, nodes, settings }) {
    const running = this.#begin(nodes);
    const requestId = newRequestId();
    const waiting = new Waiting(requestId, this.#caller.has("observe"));
    let mistake = "";
    try {
      const ended = await chat({ ...settings.body, messages: [...settings.system, ...this.#messages, question] }, {
        requestId,
        signal: running.signal,
        onKeepAlive: () => waiting.keptAlive(),
        onPiece: (piece) => {
          if (!answer.hasBegun) waiting.end();
          answer.add(piece);
        },
      });
      answer.end(ended);
    } catch (error) {
      if (!running.signal.aborted && !(error instanceof ApiError)) throw error;
      answer.end({ isStopped: running.signal.aborted });
      mistake = running.signal.aborted ? "" : error.message;
    } finally {
      // The conversation may have been cleared meanwhile.
      if (this.#running === running) this.#end();
    }
    if (!nodes[0].isConnected) {
      waiting.end();
      return;
    }
    // Beside the answer, if it has begun.
    waiting.end(running.signal.aborted && answer.content === "" ? "Stopped." : "");
    setText(byId("chat-mistake"), mistake);
    if (answer.content !== "") this.#messages.push(question, { role: "assistant", content: answer.content });
    else if (running.signal.aborted || mistake !== "") this.#takeBack(text, nodes);
  }

  #begin(nodes) {
    this.#running = new AbortController();
    byId("chat-empty").hidden = true;
    showButton("Stop");
    const log = byId("chat-log");
    log.hidden = false;
    // A screen reader reads the answer out when it is complete, and not each piece.
    log.setAttribute("aria-busy", "true");
    log.append(...nodes);
    this.#isAtEnd = true;
    this.#follow();
    return this.#running;
  }

  #end() {
    this.#running = null;
    showButton("Send");
    byId("chat-log").removeAttribute("aria-busy");
  }

  // A message without an answer isn't part of the conversation: it can be changed and sent again.
  #takeBack(text, nodes) {
    for (const node of nodes) node.remove();
    this.#showEmpty();
    const input = byId("chat-text");
    if (input.value === "") input.value = text;
  }

  #clear() {
    this.#running?.abort();
    if (this.#running !== null) this.#end();
    this.#messages = [];
    byId("chat-log").replaceChildren();
    this.#showEmpty();
    setText(byId("chat-mistake"), "");
    byId("chat-text").focus();
  }

  #showEmpty() {
    const isEmpty = byId("chat-log").children.length === 0;
    byId("chat-log").hidden = isEmpty;
    byId("chat-empty").hidden = !isEmpty;
  }

  // Whoever scrolled up reads there.
  #follow() {
    const log = byId("chat-log");
    if (this.#isAtEnd) log.scrollTop = log.scrollHeight;
  }

  /** The settings as {body, system}; null if one of them is wrong, which the browser says. */
  #settings() {
    const fields = [byId("chat-temperature"), byId("chat-max-tokens")];
    const wrong = fields.find((field) => !field.checkValidity());
    if (wrong) {
      wrong.closest("details").open = true;
      wrong.reportValidity();
      return null;
    }
    const [temperature, maxTokens] = fields.map(({ value }) => (value === "" ? undefined : Number(value)));
    const system = byId("chat-system").value.trim();
    return {
      body: { model: byId("chat-model").value || undefined, temperature, max_tokens: maxTokens },
      system: system === "" ? [] : [{ role: "system", content: system }],
    };
  }
}

// One button, so that nothing moves, and the focus stays on it.
function showButton(label) {
  setText(byId("chat-send"), label);
  byId("chat-send").classList.toggle("primary", label === "Send");
}
