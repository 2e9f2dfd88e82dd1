// A model's profile as lines of the configuration file (TOML 1.0).

/** The table of a model with these values by name; those that are undefined or empty are left out. */
export function profileOf(modelKey, values) {
  const lines = Object.entries(values).filter(([, value]) => value !== undefined && Object.keys(value).length > 0);
  return [`[models.${quoted(modelKey)}]`, ...lines.map(([name, value]) => `${name} = ${written(value)}`)].join("\n");
}

function written(value) {
  if (Array.isArray(value)) return `[${value.map(written).join(", ")}]`;
  if (typeof value === "string") return quoted(value);
  if (typeof value !== "object") return String(value);
  return `{ ${Object.entries(value).map(([name, inner]) => `${nameOf(name)} = ${written(inner)}`).join(", ")} }`;
}

const nameOf = (name) => (/^[\w-]+$/.test(name) ? name : quoted(name));

// JSON's escapes are among TOML's, which needs one more.
const quoted = (text) => JSON.stringify(text).replaceAll("\u007f", "\\u007f");
