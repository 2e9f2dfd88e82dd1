// The fields of a form. A field's `path` is that of the API's JSON, and of its mistakes.

import { make, marked, options } from "./dom.js";

const listOf = (text) => text.split(/[\n,]/).map((entry) => entry.trim()).filter(Boolean);
// What isn't a number is left as it is: the gateway says what may stand there.
const numberIn = (text) => (Number.isFinite(Number(text)) ? Number(text) : text);
const textarea = (attributes) => make("textarea", { rows: 2, autocomplete: "off", spellcheck: "false", ...attributes });
const input = (attributes) => make("input", { autocomplete: "off", spellcheck: "false", ...attributes });
const number = (attributes) => input({ type: "number", inputmode: "decimal", ...attributes });

/** Each kind makes its control, reads it as the API's value (null if it is empty), and shows such a value in it. */
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
  lines: {
    make: textarea,
    read: (control) => (control.value === "" ? null : control.value.split("\n").filter(Boolean)),
    write: (control, value) => (control.value = (value ?? []).join("\n")),
  },
  // A text that is sent as it is.
  source: {
    make: (attributes) => textarea({ class: "source", ...attributes }),
    read: (control) => control.value,
    write: (control, value) => (control.value = value),
  },
  number: {
    make: number,
    read: (control) => (control.value === "" ? null : control.valueAsNumber),
    write: (control, value) => (control.value = value ?? ""),
  },
  numbers: {
    make: (attributes) => input({ placeholder: "0, 1", ...attributes }),
    read: (control) => (listOf(control.value).length > 0 ? listOf(control.value).map(numberIn) : null),
    write: (control, value) => (control.value = (value ?? []).join(", ")),
  },
  // A number, or one of a few words, which the browser suggests.
  numberOrWord: {
    make: input,
    read: (control) => (control.value.trim() === "" ? null : numberIn(control.value.trim())),
    write: (control, value) => (control.value = value ?? ""),
  },
  time: {
    make: (attributes) => input({ type: "datetime-local", ...attributes }),
    read: (control) => (control.value === "" ? null : new Date(control.value).toISOString()),
    write: (control, value) => (control.value = value ? localMinute(value) : ""),
  },
  // Of [value, label] pairs; a value may be any JSON, and null stands for none.
  choice: {
    make: ({ choices, ...attributes }) => make("select", attributes, ...options(choices.map(([value, label]) => [JSON.stringify(value), label]))),
    read: (control) => JSON.parse(control.value),
    write: (control, value) => (control.value = value == null ? control.options[0].value : JSON.stringify(value)),
  },
  check: {
    make: (attributes) => make("input", { type: "checkbox", ...attributes }),
    read: (control) => control.checked,
    write: (control, value) => (control.checked = value ?? false),
  },
  // Of [value, meaning] pairs, as boxes to check.
  several: {
    make: ({ id, choices }) => make("div", { id, class: "fields" }, ...choices.map(checkBox)),
    read: (control) => Array.from(control.querySelectorAll(":checked"), (box) => box.value),
    write: (control, value) => {
      for (const box of control.querySelectorAll("input")) box.checked = value?.includes(box.value) ?? false;
    },
  },
};

export class Fields {
  #prefix;
  #fields = [];

  /** `prefix` begins the ids of the elements. */
  constructor(prefix) {
    this.#prefix = prefix;
  }

  /** Make a field with its label; `hint` is text, or a list of nodes. `correct` makes a right value of a wrong one, or null. */
  make({ path, label, kind, hint = "", suggestions = [], correct = () => null, attributes = {} }) {
    const id = `${this.#prefix}-${path.replaceAll(".", "-")}`;
    const list = suggestions.length > 0 ? make("datalist", { id: `${id}-list` }, ...suggestions.map((value) => make("option", { value }))) : "";
    const control = KINDS[kind].make({ id, ...attributes, ...(list && { list: list.id }), "aria-describedby": `${id}-hint ${id}-mistake` });
    const mistake = make("p", { id: `${id}-mistake`, class: "mistake" });
    const about = [make("p", { id: `${id}-hint`, class: "hint" }, ...[hint].flat()), mistake];
    this.#fields.push({ path, kind: KINDS[kind], control, mistake, correct });
    if (kind === "several") return make("fieldset", {}, make("legend", {}, label), control, ...about);
    if (kind === "check") return make("div", { class: "setting" }, make("label", { class: "check" }, control, make("span", {}, label)), ...about);
    return make("div", { class: "setting" }, make("label", { for: id }, label), control, list, ...about);
  }

  /** Show the values of an object. */
  write(object) {
    for (const { path, kind, control } of this.#fields) kind.write(control, valueAt(object, path));
  }

  /** The values by path. */
  read() {
    return new Map(this.#fields.map(({ path, kind, control }) => [path, kind.read(control)]));
  }

  /** Show the gateway's mistakes at their fields, focus the first, and return those of no field. */
  showMistakes(mistakes) {
    const others = new Set(mistakes);
    let first = null;
    for (const { path, control, mistake, kind, correct } of this.#fields) {
      const own = mistakes.filter((one) => one.path.replace(/\[\d+\].*/, "") === path);
      own.forEach((one) => others.delete(one));
      const value = kind.read(control);
      const corrected = own.length > 0 ? correct(value) : null;
      const sentences = [...own.map((one) => withEntry(one, value)), ...(corrected ? [`For example, \`${corrected}\`.`] : [])];
      mistake.replaceChildren(...marked(sentences.join(" ")));
      control.setAttribute("aria-invalid", String(own.length > 0));
      if (own.length === 0) continue;
      first ??= control;
      control.closest("details")?.setAttribute("open", "");
    }
    (first?.matches("div") ? first.querySelector("input") : first)?.focus();
    return [...others];
  }
}

/** A part of a form that is folded away at first. It opens for a mistake that the browser finds in it. */
export function folded(summary, ...nodes) {
  const details = make("details", {}, make("summary", {}, summary), ...nodes);
  // The browser can't move the focus to a field that is folded away.
  details.addEventListener("invalid", () => (details.open = true), true);
  return details;
}

/** The object with these values by path; null values are left out. */
export function objectOf(values) {
  const object = {};
  for (const [path, value] of values) {
    if (value === null) continue;
    const names = path.split(".");
    const last = names.pop();
    names.reduce((inner, name) => (inner[name] ??= {}), object)[last] = value;
  }
  return object;
}

function checkBox([value, meaning]) {
  return make("label", { class: "check" }, make("input", { type: "checkbox", value }), make("span", {}, make("b", {}, value), `: ${meaning}`));
}

const valueAt = (object, path) => path.split(".").reduce((value, name) => value?.[name], object);

function withEntry({ path, message }, value) {
  const entry = value?.[/\[(\d+)\]/.exec(path)?.[1]];
  return entry === undefined ? `${message}.` : `${entry}: ${message}.`;
}

// The control's form of a time: in the browser's zone, without one.
function localMinute(timestamp) {
  const moment = new Date(timestamp);
  return new Date(moment - moment.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
