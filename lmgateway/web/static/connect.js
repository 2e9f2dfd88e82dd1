// The view of the caller's own key: what it may use, and what it has used. connect-lines.js has how clients connect.

import { SCOPES } from "./caller.js";
import { ClientLines } from "./connect-lines.js";
import { byId, make, setChildren, setText } from "./dom.js";
import { count, dateAndTime, fromNow, plural } from "./format.js";
import { usableModels } from "./model-names.js";
import { whileVisible } from "./visible.js";

const REFRESH_SECONDS = 15;
const COUNTED = [
  ["requestsPerMinute", "Requests this minute"],
  ["tokensPerMinute", "Tokens this minute"],
  ["tokensPerDay", "Tokens today"],
];

export class Connect {
  #caller;
  #isShown;
  #lines;

  constructor(caller, isShown) {
    this.#caller = caller;
    this.#isShown = isShown;
    this.#lines = caller.has("inference") ? new ClientLines(caller) : null;
    byId("connect-how").hidden = this.#lines === null;
    whileVisible(REFRESH_SECONDS, () => this.#refresh());
  }

  async shown() {
    this.#show();
    if (this.#lines !== null) await Promise.all([this.#lines.shown(), this.#list()]);
  }

  async #refresh() {
    if (!this.#isShown()) return;
    try {
      await this.#caller.refresh();
      setText(byId("connect-mistake"), "");
    } catch (error) {
      setText(byId("connect-mistake"), error.message);
    }
    this.#showUsage();
  }

  async #list() {
    const box = byId("connect-models");
    try {
      const models = await usableModels();
      setChildren(box, models.map(({ name }) => make("code", {}, name)));
      if (models.length === 0) setText(box, "None now.");
      this.#lines.offer(models.filter(({ chats }) => chats).map(({ name }) => name));
    } catch (error) {
      setText(box, `The models can't be listed: ${error.message}`);
    }
  }

  #show() {
    const { key } = this.#caller.own;
    setText(byId("connect-title"), titleOf(this.#caller));
    setText(byId("connect-note"), key.note ?? "");
    byId("connect-scopes").replaceChildren(...SCOPES.filter(([scope]) => this.#caller.has(scope)).map(([, meaning]) => make("li", {}, meaning)));
    setText(byId("connect-default"), key.model ?? "the active model");
    setText(byId("connect-expires"), key.expiresAt ? `${dateAndTime(key.expiresAt)}, ${fromNow(key.expiresAt)}` : "it doesn't expire");
    this.#showUsage();
  }

  #showUsage() {
    const { key, used, left } = this.#caller.own;
    const rows = COUNTED.filter(([name]) => used[name] !== undefined).map(([name, label]) => meter(label, used[name], left[name], key.limits[name]));
    if (key.limits.running) rows.push(make("li", {}, make("p", {}, `At most ${plural(key.limits.running, "request", "requests")} at once; more of them wait.`)));
    setChildren(byId("connect-usage"), rows);
  }
}

function titleOf({ name, isAnyone }) {
  if (isAnyone) return "No key is needed";
  return name === "owner" ? "The owner's key" : `Your key: ${name}`;
}

function meter(label, used, left, limit) {
  const told = limit ? `${count(used)} of ${count(limit)}, ${count(left)} left` : `${count(used)}, no limit`;
  const line = make("p", { class: "meter" }, make("span", {}, label), make("span", { class: "hint" }, told));
  const bar = limit ? [make("progress", { class: left <= 0 ? "full" : null, max: limit, value: Math.min(limit - left, limit), "aria-label": label })] : [];
  return make("li", {}, line, ...bar);
}
