// The login: asks for the key once a tab, if the gateway requires one.

import { ApiError, call } from "./api.js";
import { Caller } from "./caller.js";
import { byId, setText } from "./dom.js";
import { key } from "./key-store.js";

const REFUSED = "lmgateway.refused";
const ENDED = "The gateway doesn't accept this key any more.";

/** Resolves to the caller when the key is known, or none is needed. */
export async function logIn() {
  const wasRefused = sessionStorage.getItem(REFUSED) !== null;
  sessionStorage.removeItem(REFUSED);
  const caller = wasRefused ? await askForKey(ENDED) : await callerWithoutAsking();
  byId("forget-key").hidden = key.get() === null;
  byId("forget-key").addEventListener("click", () => startOver(false));
  return caller;
}

async function callerWithoutAsking() {
  if (key.get() === null && (await isKeyNeeded())) return askForKey("");
  try {
    return await Caller.get();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    return askForKey(error.status === 401 ? ENDED : error.message);
  }
}

/** Reload the page without the key. */
export function startOver(isRefused) {
  // The key is needed until the page is left: a request without it would be refused.
  addEventListener("pagehide", () => key.forget());
  if (isRefused) sessionStorage.setItem(REFUSED, "");
  location.reload();
}

async function isKeyNeeded() {
  try {
    return (await call("GET", "dashboard/access")).keyNeeded;
  } catch {
    return true;
  }
}

function askForKey(reason) {
  const input = byId("key");
  byId("login").hidden = false;
  setText(byId("key-error"), reason);
  input.focus();
  return new Promise((resolve) => {
    byId("login-form").addEventListener("submit", async (event) => {
      event.preventDefault();
      let caller = null;
      let mistake = "";
      try {
        caller = await callerWith(input.value.trim());
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        mistake = error.status === 401 ? "The gateway has no such key, or it has ended." : error.message;
      }
      setText(byId("key-error"), mistake);
      input.setAttribute("aria-invalid", String(mistake !== ""));
      if (caller === null) {
        input.select();
        return;
      }
      input.value = "";
      byId("login").hidden = true;
      resolve(caller);
    });
  });
}

/** Store the key if the gateway accepts it. Throws ApiError. */
async function callerWith(text) {
  key.keep(text);
  try {
    return await Caller.get();
  } catch (error) {
    key.forget();
    throw error;
  }
}
