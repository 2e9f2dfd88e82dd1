// How clients connect, as texts to copy. `lmgateway init` fills the same templates.

import { call } from "./api.js";

const FILTERS = {
  shell: (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${FILTERS.single(text)}'`),
  // Between the single quotes of a shell's word.
  single: (text) => text.replaceAll("'", "'\\''"),
  json: (text) => JSON.stringify(text),
};

/** The templates, as {name, about, lines}. Throws ApiError. */
export const clientTemplates = () => call("GET", "dashboard/static/clients.json");

/** A template's text with these values of BASE (without a final slash), KEY and MODEL. */
export function fill({ lines }, values) {
  const replace = (_, text, filters) => {
    const filled = text.replace(/\$(BASE|KEY|MODEL)/g, (_name, name) => values[name]);
    return filters.split("|").slice(1).reduce((quoted, name) => FILTERS[name](quoted), filled);
  };
  return lines.join("\n").replace(/\{\{(.+?)((?:\|\w+)+)\}\}/g, replace);
}
