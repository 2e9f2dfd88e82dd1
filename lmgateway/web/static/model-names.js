// The names of the models that this key may use, for the views that offer them.

import { call } from "./api.js";

const FRESH_MS = 60_000;
let listed = { at: -Infinity, names: null };

/** The names of models that chat, sorted as LM Studio lists them. Listed at most once a minute. Throws ApiError. */
export async function modelNames() {
  if (Date.now() - listed.at < FRESH_MS) return listed.names;
  const names = (async () => (await call("GET", "v1/models")).data.map(({ id }) => id))();
  listed = { at: Date.now(), names };
  names.catch(() => {
    listed = { at: -Infinity, names: null };
  });
  return names;
}

/** The API doesn't say which models embed texts, but their names do. */
export const isForChat = (name) => !name.includes("embed");
