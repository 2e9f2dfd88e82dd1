// The models that this key may use, for the views that offer their names.

import { call } from "./api.js";

const FRESH_MS = 60_000;
let listed = { at: -Infinity, models: null };

/** The models' names, sorted as LM Studio lists them, and whether each one chats. Listed at most once a minute. Throws ApiError. */
export async function usableModels() {
  if (Date.now() - listed.at < FRESH_MS) return listed.models;
  const models = list();
  listed = { at: Date.now(), models };
  models.catch(() => {
    listed = { at: -Infinity, models: null };
  });
  return models;
}

// OpenAI's list, /v1/models, has no types.
async function list() {
  const { data } = await call("GET", "api/v0/models");
  return data.map(({ id, type }) => ({ name: id, chats: type !== "embeddings" }));
}
