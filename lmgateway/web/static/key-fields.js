// The settings of a key as fields of a form. A field's `path` is that of the API's JSON, and of its mistakes.

import { SCOPES } from "./caller.js";
import { make, options } from "./dom.js";

const listOf = (text) => text.split(/[\n,]/).map((entry) => entry.trim()).filter(Boolean);
const textarea = (attributes) => make("textarea", { rows: 2, autocomplete: "off", spellcheck: "false", ...attributes });
const input = (attributes) => make("input", { autocomplete: "off", spellcheck: "false", ...attributes });
const number = (attributes) => input({ type: "number", inputmode: "decimal", ...attributes });

// Each kind makes its control, reads it as the API's value (null if it is empty), and shows such a value in it.
const KINDS = {
  text: {
    make: input,
    read: (control) => control.value.trim() || null,
    write: (control, value) => (control.value = value ?? ""),
  },
  list: {
    make: textarea,
    read: (control) => (listOf(control.value).length > 0 ? listOf(control.value) : null),
    write: (control, value) => (control.value = (value ?? []).join("\n")),
  },
  number: {
    make: number,
    read: (control) => (control.value === "" ? null : control.valueAsNumber),
    write: (control, value) => (control.value = value ?? ""),
  },
  time: {
    make: (attributes) => input({ type: "datetime-local", ...attributes }),
    read: (control) => (control.value === "" ? null : new Date(control.value).toISOString()),
    write: (control, value) => (control.value = value ? localMinute(value) : ""),
  },
  choice: {
    make: ({ choices, ...attributes }) => make("select", attributes, ...options(choices)),
    read: (control) => control.value,
    write: (control, value) => (control.value = value ?? control.options[0].value),
  },
  scopes: {
    make: ({ id }) => make("div", { id, class: "fields" }, ...SCOPES.map(scopeBox)),
    read: (control) => Array.from(control.querySelectorAll(":checked"), (box) => box.value),
    write: (control, value) => {
      for (const box of control.querySelectorAll("input")) box.checked = value?.includes(box.value) ?? false;
    },
  },
};

const NAME = {
  path: "name",
  label: "Name",
  kind: "text",
  hint: "Of the person or the app: lower-case letters, digits, dots, - and _. It appears in the log and in the usage.",
  attributes: { required: true, autocapitalize: "none" },
};
const LIMIT = { kind: "number", attributes: { min: 1, step: 1, inputmode: "numeric", placeholder: "none" } };

const COMMON = [
  { path: "note", label: "Note", kind: "text" },
  { path: "scopes", label: "It may", kind: "scopes" },
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

/** The fields of a new key, or of one that is changed. */
export class KeyFields {
  #fields = [];

  constructor({ isNew, modelKeys }) {
    this.nodes = [
      ...(isNew ? [this.#make(NAME)] : []),
      ...COMMON.map((field) => this.#make(field)),
      make("datalist", { id: "known-models" }, ...modelKeys.map((value) => make("option", { value }))),
      make("fieldset", { class: "limit-fields" }, make("legend", {}, "Limits"), ...LIMITS.map((field) => this.#make(field))),
      make("details", {}, make("summary", {}, "Addresses, class and share"), ...RARE.map((field) => this.#make(field))),
    ];
  }

  #make({ path, label, kind, hint = "", attributes = {} }) {
    const id = `key-${path.replace(".", "-")}`;
    const control = KINDS[kind].make({ id, ...attributes, "aria-describedby": `${id}-hint ${id}-mistake` });
    const mistake = make("p", { id: `${id}-mistake`, class: "mistake" });
    const about = [make("p", { id: `${id}-hint`, class: "hint" }, hint), mistake];
    this.#fields.push({ path, kind: KINDS[kind], control, mistake });
    if (kind === "scopes") return make("fieldset", {}, make("legend", {}, label), control, ...about);
    return make("div", { class: "setting" }, make("label", { for: id }, label), control, ...about);
  }

  /** Show the values of a key. */
  write(key) {
    for (const { path, kind, control } of this.#fields) kind.write(control, valueAt(key, path));
  }

  /** The values by path. */
  read() {
    return new Map(this.#fields.map(({ path, kind, control }) => [path, kind.read(control)]));
  }

  /** Show the gateway's mistakes at their fields, focus the first, and return those of no field. */
  showMistakes(mistakes) {
    const others = new Set(mistakes);
    let first = null;
    for (const { path, control, mistake, kind } of this.#fields) {
      const own = mistakes.filter((one) => one.path.replace(/\[\d+\].*/, "") === path);
      own.forEach((one) => others.delete(one));
      mistake.textContent = own.map((one) => withEntry(one, kind.read(control))).join(" ");
      control.setAttribute("aria-invalid", String(own.length > 0));
      if (own.length === 0) continue;
      first ??= control;
      control.closest("details")?.setAttribute("open", "");
    }
    (first?.matches("div") ? first.querySelector("input") : first)?.focus();
    return [...others];
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

function scopeBox([scope, meaning]) {
  return make("label", { class: "check" }, make("input", { type: "checkbox", value: scope }), make("span", {}, make("b", {}, scope), `: ${meaning}`));
}

const valueAt = (key, path) => path.split(".").reduce((value, name) => value?.[name], key);

function withEntry({ path, message }, value) {
  const entry = value?.[/\[(\d+)\]/.exec(path)?.[1]];
  return entry === undefined ? `${message}.` : `${entry}: ${message}.`;
}

// The control's form of a time: in the browser's zone, without one.
function localMinute(timestamp) {
  const moment = new Date(timestamp);
  return new Date(moment - moment.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
