// Renders a JSON Schema as a list of fields with their types in words.

import { words } from "./docs-text.js";
import { make } from "./dom.js";

const DEEPEST = 4;

export class Schemas {
  #components;

  constructor(components) {
    this.#components = components;
  }

  /** The fields of an object, or of a list's items, required ones first; null if there are none. */
  fields(schema, depth = 0) {
    const { properties, required = [], description } = this.#object(schema) ?? {};
    if (properties === undefined || depth > DEEPEST) return null;
    const isOptional = ([name]) => !required.includes(name);
    const ordered = Object.entries(properties).sort((one, other) => isOptional(one) - isOptional(other));
    const rows = ordered.map((entry) => this.#row(...entry, isOptional(entry), depth));
    const list = make("dl", { class: "fields" }, ...rows);
    return description === undefined ? list : make("div", {}, make("p", { class: "sub" }, ...words(description)), list);
  }

  #row(name, property, isOptional, depth) {
    const models = property["x-types"]?.map((type) => ` · only for an ${type}`).join("") ?? "";
    const type = `${this.type(property)}${isOptional ? "" : " · required"}${models}`;
    const title = make("dt", {}, make("code", {}, name), make("span", { class: "type" }, type));
    const row = make("div", {}, title);
    const about = describe(property);
    if (about !== undefined) row.append(make("dd", {}, ...words(about)));
    const below = this.fields(property, depth + 1);
    if (below !== null) row.append(make("dd", {}, make("details", {}, make("summary", {}, `Fields of ${name}`), below)));
    return row;
  }

  #resolve(schema) {
    return schema.$ref === undefined ? schema : this.#components[schema.$ref.split("/").pop()];
  }

  /** The object schema inside this one: itself, one of its alternatives, or a list's items. */
  #object(schema) {
    const resolved = this.#resolve(schema);
    if (resolved.properties !== undefined) return resolved;
    const inside = [...(resolved.items ? [resolved.items] : []), ...(resolved.anyOf ?? [])];
    return inside.map((option) => this.#object(option)).find((option) => option !== null) ?? null;
  }

  /** The type in words: "whole number ≥ 0, or null". */
  type(schema) {
    return either([...new Set(this.#choices(schema))]);
  }

  #choices(schema) {
    const resolved = this.#resolve(schema);
    if (resolved.anyOf !== undefined) return resolved.anyOf.flatMap((option) => this.#choices(option));
    if (resolved.enum !== undefined) return resolved.enum.map((value) => JSON.stringify(value));
    if (resolved.type === "boolean") return ["true", "false"];
    return [this.#word(resolved)];
  }

  #word(resolved) {
    switch (resolved.type) {
      case "string":
        return resolved.minLength ? "text (not empty)" : "text";
      case "integer":
        return `whole number${range(resolved)}`;
      case "number":
        return `number${range(resolved)}`;
      case "array":
        return resolved.items ? `list of ${this.type(resolved.items)}` : "list";
      case undefined:
        return "any JSON";
      default:
        return resolved.type;
    }
  }
}

// A field that may be null has its description in the other alternative.
const describe = ({ description, anyOf = [] }) => description ?? anyOf.find((option) => option.description)?.description;

const either = (options) => (options.length > 2 ? `${options.slice(0, -1).join(", ")}, or ${options.at(-1)}` : options.join(" or "));

function range({ minimum, maximum, exclusiveMinimum }) {
  if (minimum !== undefined && maximum !== undefined) return ` from ${minimum} to ${maximum}`;
  if (minimum !== undefined) return ` ≥ ${minimum}`;
  return exclusiveMinimum === undefined ? "" : ` > ${exclusiveMinimum}`;
}
