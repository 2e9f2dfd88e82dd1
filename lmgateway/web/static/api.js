// The client of the gateway's API: requests, and error messages.

import { key } from "./key-store.js";

/** The gateway's URL, with a final slash. */
export const ROOT = new URL("../../", import.meta.url);

/** A request that failed. `status` is 0 without a response; `body` is the response's JSON, if it has one. */
export class ApiError extends Error {
  constructor(status, message, body = null) {
    super(message);
    this.status = status;
    this.body = body;
  }
}

let refused = () => {};

/** Set the callback for a refused key. */
export function onRefused(callback) {
  refused = callback;
}

let keyChange = Promise.resolve();

/** Run an action that may replace this tab's key. A 401 meanwhile is judged when the action has ended. */
export function replacingKey(action) {
  const running = action();
  keyChange = running.catch(() => {});
  return running;
}

/** Send a request; returns the Response if it succeeded. Throws ApiError. */
export async function request(method, path, { headers = {}, body, signal } = {}) {
  const sent = key.get();
  let response;
  try {
    response = await fetch(new URL(path, ROOT), { method, headers: { ...headers, ...keyHeaders() }, body, signal, cache: "no-store" });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, "The gateway doesn't answer. Is it running, and are you on its network?");
  }
  if (response.ok) return response;
  const answer = await response.json().catch(() => null);
  if (response.status === 401) {
    await keyChange;
    const current = key.get();
    if (sent === current) refused();
    else if (current !== null) return request(method, path, { headers, body, signal });
  }
  throw new ApiError(response.status, sentence(answer, response.status), answer);
}

/** Send a request, with a JSON body if `message` is given; returns the response's JSON. Throws ApiError. */
export async function call(method, path, message) {
  const body = message === undefined ? undefined : JSON.stringify(message);
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  const response = await request(method, path, { headers, body });
  try {
    return await response.json();
  } catch {
    throw new ApiError(0, "The connection to the gateway was lost in the middle of a response.");
  }
}

/** The mistakes that a 400 lists, as {path, message}. */
export function mistakesOf(error) {
  return Array.isArray(error.body?.details) ? error.body.details : [];
}

/** The header with the key; none without a key. */
export function keyHeaders() {
  const text = key.get();
  return text === null ? {} : { "X-API-Key": onTheWire(text) };
}

// fetch() takes a header as one byte a character; the gateway decodes the bytes as UTF-8.
export function onTheWire(text) {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

function sentence(answer, status) {
  const said = typeof answer?.error === "string" ? answer.error : answer?.error?.message;
  const details = Array.isArray(answer?.details) ? answer.details : [];
  const wrong = details.map(({ path, message }) => `${path}: ${message}`).join("; ");
  if (wrong) return `${said}: ${wrong}`;
  return answer?.message ?? said ?? `The gateway answered with status ${status}.`;
}
