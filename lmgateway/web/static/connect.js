// The view of the caller's own key: what it may use, what it has used, and how clients connect with it.

import { ROOT, call } from "./api.js";
import { SCOPES } from "./caller.js";
import { copyButton } from "./copying.js";
import { byId, make, setChildren, setText } from "./dom.js";
import { count, dateAndTime, fromNow, plural } from "./format.js";
import { snippets } from "./snippets.js";
import { whileVisible } from "./visible.js";

const REFRESH_SECONDS = 15;
const MODEL_TO_CHOOSE = "your-model";
// The key itself would be in a text that is easily shared.
const PLACEHOLDER = "sk-lm-…";
// Libraries insist on a key.
const ANY_KEY = "none";
const BASE = ROOT.href.replace(/\/$/, "");
const COUNTED = [
  ["requestsPerMinute", "Requests this minute"],
  ["tokensPerMinute", "Tokens this minute"],
  ["tokensPerDay", "Tokens today"],
];

export class Connect {
  #caller;
  #isShown;
  #models = null;

  constructor(caller, isShown) {
    this.#caller = caller;
    this.#isShown = isShown;
    whileVisible(REFRESH_SECONDS, () => this.#refresh());
  }

  async shown() {
    this.#show();
    if (this.#models === null && this.#caller.has("inference")) await this.#list();
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

  // Once: each of these requests counts as one of the key's.
  async #list() {
    try {
      this.#models = (await call("GET", "v1/models")).data.map(({ id }) => id);
    } catch (error) {
      setText(byId("connect-models"), `The models can't be listed: ${error.message}`);
      return;
    }
    this.#show();
  }

  #show() {
    const { key } = this.#caller.own;
    setText(byId("connect-title"), titleOf(this.#caller));
    setText(byId("connect-note"), key.note ?? "");
    byId("connect-scopes").replaceChildren(...SCOPES.filter(([scope]) => this.#caller.has(scope)).map(([, meaning]) => make("li", {}, meaning)));
    if (this.#models !== null) {
      byId("connect-models").replaceChildren(...(this.#models.length > 0 ? this.#models.flatMap((id) => [make("code", {}, id), " "]) : ["None now."]));
    }
    setText(byId("connect-default"), key.model ?? "the active model");
    setText(byId("connect-expires"), key.expiresAt ? `${dateAndTime(key.expiresAt)}, ${fromNow(key.expiresAt)}` : "it doesn't expire");
    this.#showUsage();
    byId("connect-placeholder").hidden = this.#caller.isAnyone;
    byId("connect-how").hidden = !this.#caller.has("inference");
    setText(byId("connect-base"), `${BASE}/v1`);
    const model = key.model ?? this.#models?.find((id) => !id.includes("embed")) ?? MODEL_TO_CHOOSE;
    byId("connect-copy").replaceChildren(copyButton(byId("connect-base"), "Copy", { "aria-label": "Copy the base URL" }));
    byId("connect-snippets").replaceChildren(...snippets(BASE, model, this.#caller.isAnyone ? ANY_KEY : PLACEHOLDER).map(snippet));
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
  const bar = limit ? [make("progress", { max: limit, value: Math.min(limit - left, limit), "aria-label": label })] : [];
  return make("li", {}, line, ...bar);
}

function snippet({ title, text }) {
  const code = make("pre", {}, text);
  const box = make("div", { class: "code", tabindex: "0", role: "group", "aria-label": title }, code);
  return make("li", {}, make("div", { class: "titled" }, make("h3", {}, title), copyButton(code, "Copy", { "aria-label": `Copy: ${title}` })), box);
}
