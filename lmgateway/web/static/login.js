// The login: asks for the key once a tab, if the gateway requires one.

import { ApiError, call, key } from "./api.js";
import { byId, setText } from "./dom.js";

const REFUSED = "lmgateway.refused";

/** Resolves when the key is known, or none is needed. */
export async function logIn() {
  const wasRefused = sessionStorage.getItem(REFUSED) !== null;
  sessionStorage.removeItem(REFUSED);
  if (wasRefused) await askForKey("The gateway doesn't accept this key any more.");
  else if (key.get() === null && (await isKeyNeeded())) await askForKey("");
  byId("forget-key").hidden = key.get() === null;
  byId("forget-key").addEventListener("click", () => startOver(false));
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
      const mistake = await tryKey(input.value.trim());
      setText(byId("key-error"), mistake);
      input.setAttribute("aria-invalid", String(mistake !== ""));
      if (mistake !== "") {
        input.select();
        return;
      }
      input.value = "";
      byId("login").hidden = true;
      resolve();
    });
  });
}

/** Store the key if the gateway accepts it; returns what is wrong, or "". */
async function tryKey(text) {
  key.keep(text);
  try {
    await call("GET", "admin/models/active");
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    // Another error than 401 doesn't mean that the key is wrong.
    if (error.status !== 0 && error.status !== 401) return "";
    key.forget();
    return error.status === 401 ? "That isn't the gateway's key." : error.message;
  }
  return "";
}
