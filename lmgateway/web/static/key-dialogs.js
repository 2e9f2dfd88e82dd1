// The dialogs of a key: make and change, the secret shown once, rotate, revoke.

import { ROOT, mistakesOf } from "./api.js";
import { copyButton } from "./copying.js";
import { openDialog } from "./dialog.js";
import { make, options } from "./dom.js";
import { fromNow } from "./format.js";
import { KeyFields, difference } from "./key-fields.js";
import { qrWhenOpened } from "./qr-details.js";
import { signInLink } from "./sign-in-link.js";

const GRACES = [["0", "at once"], ["3600", "after 1 hour"], ["86400", "after 1 day"], ["604800", "after 7 days"]];

/** Ask for a new key's settings; `send` gets the body. Resolves to what it returned. */
export function askForNewKey(modelKeys, isFirst, send) {
  const about = isFirst
    ? "From now on every request needs a key. This first one must have the scope admin, because only such a key can make others. This tab goes on with it."
    : "One for each person or app, so that each has its own rights and usage.";
  const scopes = isFirst ? ["inference", "admin"] : ["inference"];
  return editing({ title: "Make a key", about, confirm: "Make", isNew: true, modelKeys, key: { scopes }, send });
}

/** Ask for changes of a key; `send` gets the merge patch. */
export function askForChanges(key, modelKeys, send) {
  const about = "It applies to the next request.";
  return editing({ title: `Change ${key.name}`, about, confirm: "Save", isNew: false, modelKeys, key, send });
}

function editing({ title, about, confirm, isNew, modelKeys, key, send }) {
  const fields = new KeyFields({ isNew, modelKeys });
  fields.write(key);
  const before = isNew ? new Map() : fields.read();
  return openDialog({
    title,
    content: [make("p", { class: "hint" }, about), ...fields.nodes],
    confirm,
    wide: true,
    submit: () => {
      fields.showMistakes([]);
      return send(difference(before, fields.read()));
    },
    explain: (error) => {
      const mistakes = mistakesOf(error);
      const others = fields.showMistakes(mistakes);
      if (others.length > 0) return others.map(({ path, message }) => `${path}: ${message}.`).join(" ");
      return mistakes.length > 0 ? "Nothing was saved. Change what is marked." : error.message;
    },
  });
}

/** Show a secret until the dialog is closed. The dialog is then removed from the page. */
export function showSecret({ name, key: secret }, isOwn) {
  const text = make("code", { class: "secret", tabindex: "0", "aria-label": `The key ${name}` }, secret);
  const sentences = [
    "Copy it now: it is shown only this once, because the gateway stores only its hash.",
    isOwn ? " This tab uses it from now on, until you close it." : "",
  ];
  return openDialog({
    title: `The key ${name}`,
    content: [make("p", {}, ...sentences), text, copyButton(text, "Copy the key", { autofocus: true }), ...baseUrl(), signInOnPhone(name, secret)],
    confirm: "Close",
    mood: "",
    cancel: null,
  });
}

// What an app's settings ask for beside the key.
function baseUrl() {
  const url = make("code", { class: "secret", tabindex: "0", "aria-label": "The base URL" }, new URL("v1", ROOT).href);
  return [make("p", { class: "hint" }, "The base URL that an app needs beside it:"), url, copyButton(url, "Copy the base URL")];
}

function signInOnPhone(name, secret) {
  const details = make(
    "details",
    {},
    make("summary", {}, "Sign in on a phone"),
    make("p", { class: "hint" }, "Whoever scans this code opens the dashboard with the key. It is as secret as the key itself."),
    make("p", { class: "mistake", role: "alert" }),
    make("div", { class: "qr-box" }),
  );
  qrWhenOpened(details, signInLink(secret), `QR code of a link that signs in with the key ${name}`);
  return details;
}

export function askToRotate(key, send) {
  const grace = make("select", { id: "rotate-grace" }, ...options(GRACES));
  return openDialog({
    title: `Rotate ${key.name}`,
    content: [
      make("p", {}, "It gets a new secret, and keeps its settings and usage."),
      make("label", { for: "rotate-grace" }, "The present secret ends"),
      grace,
      make("p", { class: "hint" }, "What runs with it then is ended too."),
    ],
    confirm: "Rotate",
    submit: () => send({ graceSeconds: Number(grace.value) }),
  });
}

export function askToRevoke(key, isOwn, send) {
  const used = key.lastUsedAt ? `It was last used ${fromNow(key.lastUsedAt)}.` : "It was never used.";
  const own = isOwn ? " It is the key of this tab, which needs another one then." : "";
  return openDialog({
    title: `Revoke ${key.name}?`,
    content: [make("p", {}, `${used} Its requests are refused from now on, and those that run are ended. This can't be undone.${own}`)],
    confirm: `Revoke ${key.name}`,
    mood: "danger",
    submit: send,
  });
}
