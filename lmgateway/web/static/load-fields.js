// The fields of a load, which are those of the API's request.

import { words } from "./docs-text.js";
import { make } from "./dom.js";
import { Fields, folded, objectOf } from "./fields.js";
import { count } from "./format.js";

const HIDDEN = new Set(["modelKey", "box"]);
const ABOUT_ANOTHER = "It is in memory already. To change its settings, unload it first. Another instance takes as much memory again.";
const ABOUT_BOX = "The machines that have the model on disk. One with room for it is taken before one that must unload another model.";

export class LoadFields extends Fields {
  /** `settings` are the fields of the API's request. */
  constructor(model, settings, isLoaded) {
    super("load");
    const applicable = settings.filter(({ path, types }) => !HIDDEN.has(path) && (!types?.length || types.includes(model.type)));
    applicable.sort((one, other) => rankOf(one) - rankOf(other));
    const checks = new Map(applicable.filter(isCheck).map((field) => [field.path, field]));
    const groups = new Map([[undefined, group()]]);
    for (const field of applicable.filter((one) => !isCheck(one))) {
      if (!groups.has(field.group)) groups.set(field.group, group());
      groups.get(field.group).append(this.make(described(field, model)));
    }
    const [[, common], ...others] = groups;
    const another = isLoaded && checks.get("another");
    checks.delete("another");
    this.nodes = [
      another ? this.make({ ...checkOf(another), hint: ABOUT_ANOTHER }) : "",
      model.boxes?.length > 1 ? this.make(boxOf(model)) : "",
      common,
      ...others.map(([name, nodes]) => folded(name, nodes)),
    ];
    this.checks = [...checks.values()].map((field) => this.make(checkOf(field)));
    this.write({ activate: true });
  }

  /** The values as the API's request has them; what is empty is left out. */
  get values() {
    return objectOf(this.read());
  }
}

const group = () => make("div", { class: "settings" });

// LM Studio's settings come first, and those that it doesn't have last.
const rankOf = ({ path, types }) => (types?.length === 0 ? 2 : path.startsWith("loadConfig.") ? 0 : 1);

const isCheck = ({ path, kind }) => kind === "switch" && !path.includes(".");
const checkOf = ({ path, title, description }) => ({ path, label: title, kind: "check", hint: words(description) });

function boxOf({ boxes }) {
  const choices = [[null, "where there is room"], ...boxes.map((box) => [box, box])];
  return { path: "box", label: "Box", kind: "choice", hint: ABOUT_BOX, attributes: { choices } };
}

function described({ path, title, description, kind, words: suggestions = [], isSwitch, range, attributes }, model) {
  const isStudios = path.startsWith("loadConfig.");
  const unset = isStudios ? "LM Studio's default" : "not set";
  const hint = [...words(description)];
  if (range) hint.push(` ${range[0].toUpperCase()}${range.slice(1)}.`);
  if (kind === "numbers") hint.push(" Separated by commas.");
  if (kind === "lines") hint.push(" One in a line.");
  const own = { ...(isStudios && kind !== "numbers" && { placeholder: unset }), ...attributes };
  if (path === "loadConfig.contextLength" && model.maxContextLength) {
    own.max = model.maxContextLength;
    hint.push(` At most ${count(model.maxContextLength)} for this model.`);
  }
  if (kind !== "switch" && kind !== "choice") return { path, label: title, kind, hint, suggestions, attributes: own };
  const switches = kind === "switch" ? [[true, "on"], [false, "off"]] : isSwitch ? [[true, "true"], [false, "false"]] : [];
  const choices = [[null, unset], ...suggestions.map((word) => [word, word]), ...switches];
  return { path, label: title, kind: "choice", hint, attributes: { choices } };
}
