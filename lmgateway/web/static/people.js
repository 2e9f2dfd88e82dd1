// The view of people: the keys and what is left of their limits, and the usage.

import { byId } from "./dom.js";
import { Keys } from "./keys.js";
import { Limits } from "./limits.js";
import { Usage } from "./usage.js";

export class People {
  #list;
  #usage;

  /** Without the scope `admin` the keys can't be listed, but their limits can be seen. */
  constructor(caller, { isShown, modelKeys }) {
    const isAdmin = caller.has("admin");
    byId("people-keys").hidden = !isAdmin;
    byId("people-limits").hidden = isAdmin;
    this.#list = isAdmin ? new Keys(caller, { isShown, modelKeys }) : new Limits(isShown);
    this.#usage = new Usage(isShown);
  }

  shown() {
    this.#list.shown();
    this.#usage.shown();
  }

  onEvent(event) {
    this.#list.onEvent(event);
  }
}
