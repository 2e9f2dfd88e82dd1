// The caller of the API: the key of this tab, and what it may do.

import { call } from "./api.js";

export const SCOPES = [
  ["inference", "send requests to models"],
  ["tools", "use MCP servers and plugins, which run programs on LM Studio's machine"],
  ["models", "load, unload, download and activate models"],
  ["observe", "see this dashboard, the usage and the metrics"],
  ["log", "read LM Studio's log, with observe: it holds what people write"],
  ["admin", "everything, also managing keys and cancelling the requests of others"],
];

export class Caller {
  constructor(own) {
    this.own = own;
  }

  /** Throws ApiError. */
  static async get() {
    return new Caller(await call("GET", "admin/keys/self"));
  }

  get name() {
    return this.own.key.name;
  }

  /** Neither the owner nor anyone: a key that was made on the page of keys. */
  get isNamed() {
    return this.own.key.id !== undefined;
  }

  /** The gateway has no key, so everybody may do everything. */
  get isAnyone() {
    return this.name === "anyone";
  }

  has(scope) {
    const { scopes } = this.own.key;
    return scopes.includes(scope) || scopes.includes("admin");
  }

  /** Ask again for the key, and what it has used. Other rights need another page. Throws ApiError. */
  async refresh() {
    const before = String(this.own.key.scopes);
    const wasNamed = this.isNamed;
    this.own = await call("GET", "admin/keys/self");
    if (this.isNamed === wasNamed && String(this.own.key.scopes) !== before) location.reload();
  }
}
