// How clients connect: the lines of each, with this gateway's address, a model, and on request the key.

import { ROOT } from "./api.js";
import { copyButton } from "./copying.js";
import { byId, make, options, setText } from "./dom.js";
import { key } from "./key-store.js";
import { qrWhenOpened } from "./qr-details.js";
import { clientTemplates, fill } from "./snippets.js";

const MODEL_TO_CHOOSE = "your-model";
const PLACEHOLDER = "sk-lm-…";
// Libraries insist on a key.
const ANY_KEY = "none";
const BASE = ROOT.href.replace(/\/$/, "");
const WITHOUT = `In place of ${PLACEHOLDER} goes your key. It isn't shown until you put it in.`;
const WITH = "The lines hold your key: share them with nobody. They lose it when you leave this view.";

export class ClientLines {
  #caller;
  #templates = null;
  #isKeyIn = false;

  constructor(caller) {
    this.#caller = caller;
    setText(byId("connect-base"), `${BASE}/v1`);
    byId("connect-copy").replaceChildren(copyButton(byId("connect-base"), "Copy", { "aria-label": "Copy the base URL" }));
    qrWhenOpened(byId("connect-phone"), `${BASE}/v1`, `QR code of ${BASE}/v1`);
    this.offer([]);
    byId("connect-model").addEventListener("change", () => this.#show());
    byId("connect-put").addEventListener("click", () => this.#putKey(!this.#isKeyIn));
    for (const event of ["hashchange", "pagehide"]) addEventListener(event, () => this.#isKeyIn && this.#putKey(false));
  }

  async shown() {
    try {
      this.#templates ??= await clientTemplates();
      setText(byId("connect-snippets-mistake"), "");
    } catch (error) {
      setText(byId("connect-snippets-mistake"), error.message);
    }
    this.#show();
  }

  /** Offer these models; the selected one stays. */
  offer(names) {
    const select = byId("connect-model");
    const before = select.value;
    const { model } = this.#caller.own.key;
    const known = [...new Set([...(model ? [model] : []), ...names])];
    const all = known.length > 0 ? known : [MODEL_TO_CHOOSE];
    select.replaceChildren(...options(all.map((name) => [name, name])));
    if (all.includes(before)) select.value = before;
    this.#show();
  }

  #putKey(isIn) {
    this.#isKeyIn = isIn;
    this.#show();
  }

  #show() {
    // A caller who is recognised by its address sent no key.
    const own = key.get();
    byId("connect-put").hidden = own === null;
    byId("connect-put").setAttribute("aria-pressed", String(this.#isKeyIn));
    byId("connect-placeholder").hidden = this.#caller.isAnyone;
    setText(byId("connect-placeholder"), this.#isKeyIn ? WITH : WITHOUT);
    const shownKey = this.#isKeyIn ? own : this.#caller.isAnyone ? ANY_KEY : PLACEHOLDER;
    const values = { BASE, KEY: shownKey, MODEL: byId("connect-model").value };
    byId("connect-snippets").replaceChildren(...(this.#templates ?? []).map((template) => lines(template, fill(template, values))));
  }
}

function lines({ name, about }, text) {
  const code = make("pre", {}, text);
  const box = make("div", { class: "code", tabindex: "0", role: "group", "aria-label": name }, code);
  const hint = about ? [make("p", { class: "hint" }, about)] : [];
  return make("li", {}, make("div", { class: "titled" }, make("h3", {}, name), copyButton(code, "Copy", { "aria-label": `Copy: ${name}` })), ...hint, box);
}
