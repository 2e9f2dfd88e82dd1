// The login: asks for the key, if the gateway requires one and none is stored or in the link that opened the page.

import { ApiError, call } from "./api.js";
import { Caller } from "./caller.js";
import { byId, setText } from "./dom.js";
import { key } from "./key-store.js";
import { notifyWith } from "./notices.js";
import { linkedKey } from "./sign-in-link.js";

const REFUSED = "lmgateway.refused";
const ENDED = "The gateway doesn't accept this key any more.";
const UNKNOWN = "The gateway has no such key, or it has ended.";
const UNKNOWN_IN_LINK = "The gateway doesn't know the key in this link, or it has ended. Ask for a new link, or type a key.";

/** Resolves to the caller when the key is known, or none is needed. */
export async function logIn() {
  const wasRefused = sessionStorage.getItem(REFUSED) !== null;
  sessionStorage.removeItem(REFUSED);
  const caller = linkedKey !== null ? await callerOfLink() : wasRefused ? await askForKey(ENDED) : await callerWithoutAsking();
  byId("forget-key").hidden = key.get() === null;
  byId("forget-key").addEventListener("click", () => startOver(false));
  return caller;
}

async function callerOfLink() {
  try {
    // Any page can open such a link, so it replaces no key that the device remembers.
    const caller = await callerWith(linkedKey, key.isRemembered() && key.get() === linkedKey);
    if (caller.isAnyone) key.drop();
    else if (!key.isRemembered()) offerToRemember(caller.name);
    return caller;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    return askForKey(error.status === 401 ? UNKNOWN_IN_LINK : error.message);
  }
}

// The device may be another's, so a link alone doesn't store the key for longer than the tab.
function offerToRemember(name) {
  notifyWith(`Signed in as ${name}, in this tab only.`, "Remember on this device", () => key.keep(key.get(), true));
}

async function callerWithoutAsking() {
  if (key.get() === null && (await isKeyNeeded())) return askForKey("");
  try {
    return await Caller.get();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 401) key.drop();
    return askForKey(error.status === 401 ? ENDED : error.message);
  }
}

/** Reload the page without the key. */
export function startOver(isRefused) {
  // The key is needed until the page is left: a request without it would be refused.
  addEventListener("pagehide", () => (isRefused ? key.drop() : key.forget()));
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
        caller = await callerWith(input.value.trim(), byId("remember-key").checked);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        mistake = error.status === 401 ? UNKNOWN : error.message;
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

/** Store the key if the gateway accepts it, and keep the one before otherwise. Throws ApiError. */
async function callerWith(text, isForDevice) {
  const before = key.get();
  const wasForDevice = key.isRemembered();
  key.keep(text, isForDevice);
  try {
    return await Caller.get();
  } catch (error) {
    if (before === null) key.forget();
    else key.keep(before, wasForDevice);
    throw error;
  }
}
