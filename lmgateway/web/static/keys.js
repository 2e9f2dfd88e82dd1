// The keys: the actions on them, and the list, which is fetched when it is shown, after events, and now and then.

import { call, replacingKey } from "./api.js";
import { firstOfMonth, today } from "./days.js";
import { byId, setText } from "./dom.js";
import { limitsByKey } from "./limits.js";
import { askForChanges, askForNewKey, askToRevoke, askToRotate, showSecret } from "./key-dialogs.js";
import { key } from "./key-store.js";
import { showKeys } from "./keys-view.js";
import { notify } from "./notices.js";
import { whileShown } from "./visible.js";

const REFRESH_SECONDS = 15;

const pathOf = (name) => `admin/keys/${encodeURIComponent(name)}`;

export class Keys {
  #caller;
  #modelKeys;
  #keys = null;
  #usage = { today: null, month: null };
  #limits = null;

  /** `modelKeys` returns the keys of the known models, which the dialog suggests. */
  constructor(caller, { isShown, modelKeys }) {
    this.#caller = caller;
    this.#modelKeys = modelKeys;
    byId("keys-make").addEventListener("click", () => this.#make());
    byId("keys-find").addEventListener("input", () => this.#show());
    this.shown = whileShown(REFRESH_SECONDS, isShown, () => this.#refresh());
  }

  onEvent({ name }) {
    if (name === "key_changed" || name === "lagged") this.shown();
  }

  async #refresh() {
    const [keys, ofToday, ofMonth, limits] = await Promise.allSettled([
      call("GET", "admin/keys"),
      usageSince(today()),
      usageSince(firstOfMonth()),
      limitsByKey(),
    ]);
    const failed = [keys, ofToday, ofMonth, limits].find(({ status }) => status === "rejected");
    setText(byId("keys-mistake"), failed?.reason.message ?? "");
    this.#keys = keys.value?.keys ?? null;
    this.#usage = { today: ofToday.value ?? null, month: ofMonth.value ?? null };
    this.#limits = limits.value ?? null;
    this.#show();
  }

  #show() {
    showKeys(this.#keys, { ...this.#usage, limits: this.#limits }, byId("keys-find").value, this.#caller, this);
  }

  async #make() {
    const isFirst = this.#caller.isAnyone;
    const make = async (body) => {
      const made = await call("POST", "admin/keys", body);
      if (isFirst) key.keep(made.key);
      return made;
    };
    const made = await askForNewKey(this.#modelKeys(), isFirst, (body) => (isFirst ? replacingKey(() => make(body)) : make(body)));
    if (made) await this.#madeSecret(made, isFirst);
  }

  async change(shown) {
    const changed = await askForChanges(shown, this.#modelKeys(), (patch) => call("PATCH", pathOf(shown.name), patch));
    if (!changed) return;
    notify(`${shown.name} was changed.`);
    this.shown();
    if (shown.name === this.#caller.name) await this.#caller.refresh();
  }

  async rotate(shown) {
    const isOwn = this.#isOwn(shown);
    const rotate = async (body) => {
      const rotated = await call("POST", `${pathOf(shown.name)}/rotate`, body);
      if (isOwn) key.keep(rotated.key);
      return rotated;
    };
    const rotated = await askToRotate(shown, (body) => (isOwn ? replacingKey(() => rotate(body)) : rotate(body)));
    if (rotated) await this.#madeSecret(rotated, isOwn);
  }

  async #madeSecret(made, isOwn) {
    this.shown();
    if (isOwn) {
      byId("forget-key").hidden = false;
      await this.#caller.refresh();
    }
    await showSecret(made, isOwn);
  }

  async revoke(shown) {
    const isOwn = this.#isOwn(shown);
    const revoked = await askToRevoke(shown, isOwn, () => call("DELETE", pathOf(shown.name)));
    if (revoked) notify(`${shown.name} was revoked.`);
    this.shown();
  }

  // A caller who is recognised by its address sent no key.
  #isOwn(shown) {
    return shown.name === this.#caller.name && key.get() !== null;
  }
}

/** The ledger's rows of each key since a date. */
async function usageSince(date) {
  const { rows } = await call("GET", `admin/usage?by=key&since=${date}`);
  return new Map(rows.map((row) => [row.key, row]));
}
