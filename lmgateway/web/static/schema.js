// The API's request bodies as the fields of a form, from the OpenAPI document.

import { ApiError, ROOT } from "./api.js";
import { Schemas } from "./docs-schema.js";

const UNANSWERED = "The gateway doesn't answer. Is it running, and are you on its network?";

export class ApiSchema {
  #document = null;

  /** The fields of the body of a POST to this path. Throws ApiError. */
  async fieldsOf(path) {
    this.#document ??= await fetchDocument();
    const { paths, components } = this.#document;
    const { schema } = paths[path].post.requestBody.content["application/json"];
    return [...new FieldReader(components.schemas).read(schema)];
  }
}

// The browser has it in its cache, and asks whether it has changed. It needs no key.
async function fetchDocument() {
  try {
    const response = await fetch(new URL("openapi.json", ROOT));
    if (response.ok) return await response.json();
  } catch {
    throw new ApiError(0, UNANSWERED);
  }
  throw new ApiError(0, UNANSWERED);
}

class FieldReader {
  #schemas;
  #types;

  constructor(schemas) {
    this.#schemas = schemas;
    this.#types = new Schemas(schemas);
  }

  /**
   * Yield the fields, also those of objects inside this one. `group` is the part of the form, undefined for the first;
   * `types` are the types of models that have the setting, all of them if it is undefined.
   */
  *read(schema, prefix = "", group = undefined) {
    const { properties } = this.#resolve(schema);
    for (const [name, property] of Object.entries(properties)) {
      const options = this.#options(property);
      const path = `${prefix}${name}`;
      const part = property["x-group"] ?? group;
      if (options.some((option) => option.properties !== undefined)) {
        yield* this.read(options[0], `${path}.`, part);
      } else {
        const { title = wordsOf(name), description = "", "x-types": types } = property;
        yield { path, title, description, group: part, types, ...this.#control(options) };
      }
    }
  }

  #resolve(schema) {
    return schema.$ref === undefined ? schema : this.#schemas[schema.$ref.split("/").pop()];
  }

  // What the property may be besides null.
  #options(property) {
    const resolved = this.#resolve(property);
    return (resolved.anyOf ?? [resolved]).map((option) => this.#resolve(option)).filter(({ type }) => type !== "null");
  }

  // `switch` is a boolean, `choice` one of `words` or, if `isSwitch`, a boolean.
  #control(options) {
    const words = options.flatMap((option) => option.enum ?? []);
    const number = options.find(isNumber);
    const list = options.find(({ type }) => type === "array");
    const isSwitch = options.some(({ type }) => type === "boolean");
    if (list) return { kind: isNumber(list.items) ? "numbers" : "lines" };
    if (number) return { kind: words.length > 0 ? "numberOrWord" : "number", words, range: this.#types.type({ anyOf: options }), attributes: bounds(number) };
    if (words.length > 0) return { kind: "choice", words, isSwitch };
    return { kind: isSwitch ? "switch" : "text" };
  }
}

const isNumber = ({ type }) => type === "integer" || type === "number";

function bounds({ type, minimum, maximum, exclusiveMinimum }) {
  const isWhole = type === "integer";
  const min = minimum ?? (isWhole && exclusiveMinimum !== undefined ? exclusiveMinimum + 1 : exclusiveMinimum);
  return { min, max: maximum, step: isWhole ? 1 : "any", inputmode: isWhole && min >= 0 ? "numeric" : "decimal" };
}

// "maxTokens" → "Max tokens"
function wordsOf(name) {
  const spaced = name.replace(/([a-z0-9])([A-Z])/g, "$1 $2").toLowerCase();
  return spaced[0].toUpperCase() + spaced.slice(1);
}
