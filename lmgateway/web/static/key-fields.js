// The settings of a key as fields of a form.

import { SCOPES } from "./caller.js";
import { make } from "./dom.js";
import { Fields, folded } from "./fields.js";

const NAME = {
  path: "name",
  label: "Name",
  kind: "text",
  hint: "Of the person or the app: lower-case letters, digits, dots, - and _. It appears in the log and in the usage.",
  correct: (name) => name && nameLike(name),
  attributes: { required: true, autocapitalize: "none" },
};
const LIMIT = { kind: "number", attributes: { min: 1, step: 1, inputmode: "numeric", placeholder: "none" } };

const COMMON = [
  { path: "note", label: "Note", kind: "text" },
  { path: "scopes", label: "It may", kind: "several", attributes: { choices: SCOPES } },
  { path: "models", label: "Models", kind: "list", hint: "Their keys, one in a line; * and ? are wildcards.", attributes: { placeholder: "*" } },
  {
    path: "model",
    label: "Default model",
    kind: "text",
    hint: "For requests that name none.",
    attributes: { placeholder: "the active model", list: "known-models" },
  },
  { path: "expiresAt", label: "Valid until", kind: "time", hint: "Without a time it doesn't expire." },
];
const LIMITS = [
  { ...LIMIT, path: "limits.requestsPerMinute", label: "Requests a minute" },
  { ...LIMIT, path: "limits.tokensPerMinute", label: "Tokens a minute" },
  { ...LIMIT, path: "limits.tokensPerDay", label: "Tokens a day" },
  { ...LIMIT, path: "limits.running", label: "Requests at once" },
];
const RARE = [
  {
    path: "addresses",
    label: "Addresses",
    kind: "list",
    hint: "For apps that can't send a key: requests without one from these addresses or networks are this key's.",
    attributes: { placeholder: "none" },
  },
  {
    path: "class",
    label: "Class",
    kind: "choice",
    hint: "Background requests wait behind interactive ones, for at most two minutes.",
    attributes: { choices: [["interactive", "interactive"], ["background", "background"]] },
  },
  { path: "share", label: "Share", kind: "number", hint: "Its weight when the GPU's time is divided among keys.", attributes: { min: 0.1, max: 100, step: "any", placeholder: "1" } },
];

/** A name that is allowed: "emma-tablet" for "Emma Tablet"; empty if none is near. */
function nameLike(text) {
  const plain = text.normalize("NFKD").replace(/\p{Mark}/gu, "").toLowerCase();
  return plain.replace(/[^a-z0-9._-]+/g, "-").replace(/^[^a-z0-9]+/, "").slice(0, 64).replace(/-+$/, "");
}

/** The fields of a new key, or of one that is changed. */
export class KeyFields extends Fields {
  constructor({ isNew, modelKeys }) {
    super("key");
    this.nodes = [
      ...(isNew ? [this.make(NAME)] : []),
      ...COMMON.map((field) => this.make(field)),
      make("datalist", { id: "known-models" }, ...modelKeys.map((value) => make("option", { value }))),
      make("fieldset", { class: "limit-fields" }, make("legend", {}, "Limits"), ...LIMITS.map((field) => this.make(field))),
      folded("Addresses, class and share", ...RARE.map((field) => this.make(field))),
    ];
  }
}

/** The members that differ, as a merge patch (RFC 7396); those of `before` that are null are absent there. */
export function difference(before, after) {
  const patch = {};
  for (const [path, value] of after) {
    if (JSON.stringify(value) === JSON.stringify(before.get(path) ?? null)) continue;
    const [name, inner] = path.split(".");
    if (inner === undefined) patch[name] = value;
    else patch[name] = { ...patch[name], [inner]: value };
  }
  return patch;
}
