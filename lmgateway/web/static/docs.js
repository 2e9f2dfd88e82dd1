// The API's documentation, rendered from /openapi.json.

import { errorList, operationNode } from "./docs-operation.js";
import { Schemas } from "./docs-schema.js";
import { code, json, paragraphs } from "./docs-text.js";
import { byId, make, setText } from "./dom.js";

const JSON_TYPE = "application/json";
const METHODS = ["get", "post", "put", "patch", "delete", "head", "options"];
const SHAPES = { own: "On the gateway's own paths", openai: "On the paths of OpenAI's API and LM Studio's own API", anthropic: "On the paths of Anthropic's API" };
const SENT = "Each operation has a command for a terminal, and \"Try it\", which sends its request from this page.";
const WITH_KEY = "The command reads the key from a shell variable: `export KEY='…'`. This page sends the key that the dashboard has in this tab.";

async function fetchDocument() {
  try {
    const response = await fetch(new URL("../../openapi.json", import.meta.url));
    return await response.json();
  } catch {
    setText(byId("mistake"), "The gateway doesn't answer. Is it running, and are you on its network?");
    return null;
  }
}

function show({ info, security, tags, paths, components }) {
  const reference = {
    base: new URL("../..", import.meta.url).href.replace(/\/$/, ""),
    security,
    schemas: new Schemas(components.schemas),
    response: (response) => (response.$ref ? components.responses[nameOf(response)] : response),
    errors: ({ content }) => Object.values(content?.[JSON_TYPE]?.examples ?? {}).flatMap((example) => components.examples[nameOf(example)] ?? []),
  };
  const about = paragraphs(info.description);
  about.push(...paragraphs(security.length > 0 ? `${SENT} ${WITH_KEY}` : SENT));
  byId("about").append(...about);
  const operations = entries(paths);
  for (const { name } of tags) {
    const nodes = operations.filter(({ tag }) => tag === name).map(({ path, methods }) => operationNode(reference, path, methods));
    addGroup(name, anchorOf(name), ...nodes);
  }
  addGroup("Errors", "errors", ...errors(components.examples));
  byId("about").hidden = byId("finder").hidden = false;
  byId("filter").addEventListener("input", filter);
  filter();
  addEventListener("hashchange", openLinked);
  openLinked();
}

const nameOf = ({ $ref }) => $ref?.split("/").pop();
const anchorOf = (name) => name.toLowerCase().replace(/[^a-z]+/g, "-");

/** The operations in order. Methods of a path with the same summary are one entry. */
function entries(paths) {
  const grouped = [];
  for (const [path, item] of Object.entries(paths)) {
    for (const method of METHODS.filter((name) => name in item)) {
      const operation = item[method];
      const { operationId: id, summary, tags } = operation;
      const last = grouped.at(-1);
      const one = { method: method.toUpperCase(), id, operation };
      if (last?.path === path && last.summary === summary) last.methods.push(one);
      else grouped.push({ path, summary, tag: tags[0], methods: [one] });
    }
  }
  return grouped;
}

function addGroup(title, id, ...children) {
  const heading = make("h2", { id, tabindex: "-1" }, title);
  byId("groups").append(make("section", { class: "card group", "aria-labelledby": id }, heading, ...children));
  byId("sections").append(make("li", {}, make("a", { href: `#${id}` }, title)));
}

/** The shape of errors in each API, and a list of all kinds of errors. */
function errors(examples) {
  const shapes = Object.entries(SHAPES).map(([style, place]) =>
    make("div", {}, make("p", { class: "hint" }, place), code(json(examples[`${style}.bad_request`].value), place)),
  );
  const sorted = Object.values(examples).sort((one, other) => one["x-status"] - other["x-status"]);
  return [make("div", { class: "shapes" }, ...shapes), errorList(sorted)];
}

function filter() {
  const query = byId("filter").value.trim().toLowerCase();
  const all = [...document.querySelectorAll(".operation")];
  for (const node of all) node.hidden = !node.querySelector("summary").textContent.toLowerCase().includes(query);
  for (const group of document.querySelectorAll(".group")) {
    const inside = [...group.querySelectorAll(".operation")];
    group.hidden = query !== "" && inside.every((node) => node.hidden);
  }
  const left = all.filter((node) => !node.hidden).length;
  setText(byId("match-count"), query === "" ? `${all.length} operations` : `${left} of ${all.length} operations`);
}

function openLinked() {
  const node = document.getElementById(location.hash.slice(1));
  if (node?.classList.contains("operation")) node.open = true;
  node?.scrollIntoView();
}

const described = await fetchDocument();
if (described !== null) show(described);
