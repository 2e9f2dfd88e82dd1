// The target of an operation's request: its path and query, with the parameters filled in.

/** A parameter's example as it is written in a request. */
export const exampleOf = ({ example }) => [example].flat().join(",");

/** Fill in the parameters. `valueOf` returns a parameter's value; a query parameter without one is left out. */
export function target(path, parameters, valueOf) {
  const within = (place) => parameters.filter((parameter) => parameter.in === place);
  const filled = within("path").reduce((text, one) => text.replace(`{${one.name}}`, () => encoded(valueOf(one), "/")), path);
  const query = within("query").filter(valueOf).map((one) => `${one.name}=${encoded(valueOf(one), ",")}`);
  return query.length === 0 ? filled : `${filled}?${query.join("&")}`;
}

const encoded = (text, separator) => text.split(separator).map(encodeURIComponent).join(separator);
