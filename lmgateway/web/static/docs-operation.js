// One operation of the API: a line that opens to its parameters, fields, responses and errors.

import { curl } from "./docs-curl.js";
import { code, json, paragraphs, words } from "./docs-text.js";
import { tryNode } from "./docs-try.js";
import { make } from "./dom.js";

const MOODS = { GET: "", POST: " good", DELETE: " bad" };
const JSON_TYPE = "application/json";
const STREAM_TYPE = "text/event-stream";
const COPIED_MS = 2000;

/** Make the node of an operation that several methods of a path may share; each is `{method, id, operation}`. */
export function operationNode(reference, path, methods) {
  const [{ method, id, operation }] = methods;
  const badges = methods.map((one) => make("span", { class: `badge method${MOODS[one.method] ?? " quiet"}` }, one.method));
  const title = make("h3", {}, ...badges, make("code", {}, path));
  const needsKey = (operation.security ?? reference.security).length > 0;
  const summary = make("summary", {}, title, make("span", { class: "sub" }, ...words(operation.summary)));
  if (!needsKey && reference.security.length > 0) title.after(make("span", { class: "hint" }, "no key"));
  const node = make("details", { class: "operation", id }, summary);
  // The details are rendered on first opening, because there are dozens of operations.
  node.addEventListener("toggle", () => node.append(details(reference, { path, methods, needsKey })), { once: true });
  node.addEventListener("toggle", () => node.open && history.replaceState(null, "", `#${id}`));
  return node;
}

function details(reference, { path, methods, needsKey }) {
  const [{ method, operation }] = methods;
  const { parameters, requestBody, responses, description } = operation;
  const content = requestBody?.content ?? null;
  const body = content && { isJson: JSON_TYPE in content, ...content[JSON_TYPE] };
  const isStream = body === null && STREAM_TYPE in (responses["200"]?.content ?? {});
  const command = curl(reference.base, { method, path, parameters, body, needsKey, isStream });
  const scope = needsKey ? Object.values(operation.security?.[0] ?? {})[0]?.[0] : undefined;
  const rights = scope === undefined ? [] : [make("p", { class: "hint" }, ...words(`Needs a key with the scope \`${scope}\`.`))];
  const parts = [...(description ? paragraphs(description) : []), ...rights, commandNode(command), tryNode(path, methods, needsKey)];
  if (parameters.length > 0) parts.push(make("h4", {}, "Parameters"), make("dl", { class: "fields" }, ...parameters.map((one) => parameterRow(reference, one))));
  const fields = body?.schema && reference.schemas.fields(body.schema);
  if (fields) parts.push(make("h4", {}, "Body"), fields);
  return make("div", { class: "details" }, ...parts, ...answers(reference, responses));
}

function parameterRow({ schemas }, { name, in: place, schema, description, required }) {
  const type = `${schemas.type(schema)}, in the ${place}${required ? " · required" : ""}`;
  const title = make("dt", {}, make("code", {}, name), make("span", { class: "type" }, type));
  return make("div", {}, title, make("dd", {}, ...words(description)));
}

function answers(reference, responses) {
  const all = Object.entries(responses).map(([status, response]) => [status, reference.response(response)]);
  const nodes = all.filter(([, response]) => !isError(response)).map(([status, response]) => answerNode(reference, status, response));
  const errors = all.flatMap(([, response]) => reference.errors(response)).filter((error) => !error["x-everywhere"]);
  if (errors.length > 0) nodes.push(make("h4", {}, "Errors"), errorList(errors));
  const link = make("a", { href: "#errors" }, "More errors");
  return [make("h4", {}, "Answers"), ...nodes, make("p", { class: "hint" }, link, " come from any path.")];
}

const examplesOf = (response) => response.content?.[JSON_TYPE]?.examples;
const isError = (response) => examplesOf(response) !== undefined && examplesOf(response).answer === undefined;

function answerNode({ schemas }, status, { description, content = {} }) {
  const isGood = status < "400";
  const badge = make("span", { class: `badge${isGood ? " good" : " quiet"}` }, status === "default" ? "others" : status);
  const node = make("div", { class: "answer" }, make("p", { class: "status" }, badge, make("span", {}, ...words(description.split("\n\n")[0]))));
  for (const [type, { schema, example, examples }] of Object.entries(content)) {
    const shown = example ?? examples?.answer.value;
    if (shown === undefined) continue;
    node.append(make("p", { class: "hint" }, type));
    if (shown !== "…") node.append(code(json(shown), `Example of ${status}, ${type}`));
    const fields = schema.anyOf && type === STREAM_TYPE ? eventList(schemas, schema.anyOf) : schemas.fields(schema);
    if (fields) node.append(make("details", {}, make("summary", {}, type === STREAM_TYPE ? "Events" : "Fields"), fields));
  }
  return node;
}

function eventList(schemas, events) {
  const rows = events.map(({ title, properties }) =>
    make("div", {}, make("dt", {}, make("code", {}, title)), make("dd", {}, schemas.fields(properties.data.contentSchema))),
  );
  return make("dl", { class: "fields" }, ...rows);
}

/** A list of the document's examples of errors, one line for each kind. */
export function errorList(errors) {
  const kinds = new Map(errors.map((error) => [error["x-code"], error]));
  const rows = Array.from(kinds.values(), ({ "x-status": status, "x-code": kind, summary }) =>
    make("li", {}, make("span", { class: "sub" }, String(status)), make("code", {}, kind), make("p", {}, ...words(summary))),
  );
  return make("ul", { role: "list", class: "errors" }, ...rows);
}

function commandNode(command) {
  const node = make("div", { class: "command" }, code(command, "Command"));
  // Browsers offer the clipboard only to pages on https and on localhost.
  if (navigator.clipboard === undefined) return node;
  const button = make("button", { type: "button" }, "Copy");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(command);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), COPIED_MS);
  });
  node.append(button);
  return node;
}
