// "Try it": the form that sends an operation's request, with the key of this tab.

import { ROOT, keyHeaders, onTheWire } from "./api.js";
import { openDialog } from "./dialog.js";
import { AnswerView } from "./docs-answer.js";
import { exampleOf, target } from "./docs-target.js";
import { words } from "./docs-text.js";
import { make, options } from "./dom.js";
import { Fields } from "./fields.js";
import { key } from "./key-store.js";

const JSON_TYPE = "application/json";
const STREAM_TYPE = "text/event-stream";
const CHANGES = "It acts on the running gateway, and other people may notice it.";
const STREAMS = ' With `"stream": true` the answer arrives piece by piece.';
const BODY = { path: "body", label: "Body", kind: "source" };
const LINES = { least: 3, most: 16 };

/** Make the part of an operation that sends it; `methods` are those of the path, as `{method, id, operation}`. */
export function tryNode(path, methods, needsKey) {
  const node = make("details", { class: "try" }, make("summary", {}, "Try it"));
  node.addEventListener("toggle", () => node.append(new Trial(path, methods, needsKey).node), { once: true });
  return node;
}

class Trial {
  #path;
  #needsKey;
  #chosen;
  #fields;
  #running = null;
  #keyNote = make("p", { class: "hint" });
  #inputs = make("div", { class: "inputs" });
  #send = make("button", { type: "submit", class: "primary" }, "Send");
  #stop = make("button", { type: "button", hidden: true, onclick: () => this.#running.abort() }, "Stop");
  #answer = new AnswerView();

  constructor(path, methods, needsKey) {
    this.#path = path;
    this.#needsKey = needsKey;
    const choice = methods.length > 1 ? methodChoice(methods, (one) => this.#choose(one)) : "";
    const bar = make("div", { class: "bar" }, this.#send, this.#stop);
    const form = make("form", { "aria-label": `Try ${path}` }, this.#keyNote, choice, this.#inputs, bar);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#running === null) this.#submit();
    });
    this.node = make("div", {}, form, this.#answer.node);
    this.#choose(methods[0]);
    this.#showKey();
    // The key may have been entered on the dashboard meanwhile; the way back may show this page as it was left.
    for (const event of ["focus", "pageshow"]) addEventListener(event, () => this.#showKey());
    // A page that is left may be kept for the way back, and the answer may be a new key.
    addEventListener("pagehide", () => this.#answer.clear());
  }

  #showKey() {
    const isMissing = this.#needsKey && key.get() === null;
    const dashboard = make("a", { href: new URL("dashboard", ROOT).href }, "dashboard");
    const missing = ["This needs a key, and this tab has none. Enter your key on the ", dashboard, ", in this tab, and come back."];
    const text = this.#needsKey ? "Sent with the key of this tab." : "Sent without a key: none is needed.";
    this.#keyNote.replaceChildren(...(isMissing ? missing : [text]));
    this.#send.hidden = isMissing;
  }

  #choose(chosen) {
    this.#chosen = chosen;
    const { id, operation } = chosen;
    this.#fields = new Fields(`try-${id}`);
    const inputs = [...operation.parameters.map(parameterField), ...bodyFields(operation)];
    this.#inputs.replaceChildren(...inputs.map(({ value, ...field }) => this.#fields.make(field)));
    this.#fields.write(Object.fromEntries(inputs.map(({ path, value }) => [path, value])));
  }

  async #submit() {
    const { operation } = this.#chosen;
    const { request, mistakes } = this.#request();
    this.#fields.showMistakes(mistakes);
    if (mistakes.length > 0) return;
    if (operation["x-changes"] && !(await confirmed(request, operation.summary))) return;
    this.#running = new AbortController();
    this.#send.setAttribute("aria-disabled", "true");
    this.#stop.hidden = false;
    const { url, ...rest } = request;
    await this.#answer.follow(() => fetch(url, { ...rest, signal: this.#running.signal }));
    if (this.#stop === document.activeElement) this.#send.focus();
    this.#running = null;
    this.#stop.hidden = true;
    this.#send.removeAttribute("aria-disabled");
  }

  /** The request of the form, and the mistakes in its fields. */
  #request() {
    const { method, operation } = this.#chosen;
    const values = this.#fields.read();
    const valueOf = ({ in: place, name }) => values.get(`${place}:${name}`);
    const dotted = operation.parameters.filter((one) => one.in === "path" && hasDots(valueOf(one)));
    const mistakes = dotted.map(({ name }) => ({ path: `path:${name}`, message: "A browser removes . and .. from a path" }));
    const url = new URL(target(this.#path, operation.parameters, valueOf).slice(1), ROOT);
    const headers = this.#needsKey ? keyHeaders() : {};
    for (const one of operation.parameters) {
      if (one.in === "header" && valueOf(one) !== null) headers[one.name] = onTheWire(valueOf(one));
    }
    const text = values.get("body");
    if (!text) return { request: { method, url, headers, cache: "no-store" }, mistakes };
    headers["Content-Type"] = values.get("type") ?? JSON_TYPE;
    const mistake = values.has("type") ? null : mistakeInJson(text);
    if (mistake !== null) mistakes.push({ path: "body", message: mistake });
    return { request: { method, url, headers, body: text, cache: "no-store" }, mistakes };
  }
}

function methodChoice(methods, choose) {
  const select = make("select", {}, ...options(methods.map(({ method }) => [method, method])));
  select.addEventListener("change", () => choose(methods[select.selectedIndex]));
  return make("label", { class: "method-choice" }, "Method", select);
}

/** The field of a parameter. A path needs all of its parameters; the others are left out while they are empty. */
function parameterField(parameter) {
  const { name, in: place, description, required } = parameter;
  const example = exampleOf(parameter);
  const attributes = required ? { required: true } : { placeholder: `e.g. ${example}` };
  return { path: `${place}:${name}`, label: name, kind: "text", hint: words(description), attributes, value: required ? example : null };
}

function bodyFields({ requestBody, responses }) {
  if (requestBody === undefined) return [];
  const json = requestBody.content[JSON_TYPE];
  if (json === undefined) {
    return [
      { path: "type", label: "Content-Type", kind: "text", value: JSON_TYPE },
      { ...BODY, hint: "Text only. To send a file, use the command above.", attributes: { rows: LINES.least }, value: "" },
    ];
  }
  const value = JSON.stringify(json.example, null, 2);
  const rows = Math.min(Math.max(value.split("\n").length, LINES.least), LINES.most);
  const streams = responses["200"]?.content?.[STREAM_TYPE] !== undefined;
  return [{ ...BODY, hint: words(`JSON.${streams ? STREAMS : ""}`), attributes: { rows }, value }];
}

const hasDots = (text) => text?.split("/").some((segment) => segment === "." || segment === "..");

function mistakeInJson(text) {
  try {
    JSON.parse(text);
    return null;
  } catch (error) {
    return `This isn't JSON: ${error.message}`;
  }
}

const confirmed = ({ method, url }, summary) =>
  openDialog({
    title: `Send ${method} ${url.pathname}?`,
    content: [make("p", {}, ...words(`${summary}. ${CHANGES}`))],
    confirm: "Send it",
    mood: method === "DELETE" ? "danger" : "primary",
    submit: () => true,
  });
