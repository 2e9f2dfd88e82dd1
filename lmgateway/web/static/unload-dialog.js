// The dialog that is shown before a model is unloaded on which requests run.

import { openDialog } from "./dialog.js";
import { make } from "./dom.js";
import { Fields } from "./fields.js";
import { plural } from "./format.js";

/**
 * Ask what becomes of the requests that run on a model. `settings` are the fields of the API's request. Resolves to
 * what the request has beside the model, or to undefined if the model isn't to be unloaded.
 */
export function askHowToUnload(name, running, settings) {
  const offered = new Map(settings.map((field) => [field.path, field]));
  const busy = plural(running, "request is", "requests are");
  if (!offered.has("force")) {
    return ask(name, [make("p", {}, `${busy} running on it and would be aborted.`)], () => ({}));
  }
  const choice = waitOrForce(offered.get("drainSeconds"));
  return ask(name, [make("p", {}, `${busy} running on it.`), ...choice.nodes], choice.read);
}

const ask = (name, content, read) => openDialog({ title: `Unload ${name}?`, content, confirm: "Unload", mood: "danger", submit: read });

function waitOrForce(drainSeconds) {
  const radio = (value, label, checked) => make("label", { class: "check" }, make("input", { type: "radio", name: "unload-how", value, checked }), make("span", {}, label));
  const wait = radio("wait", "Wait until they have ended; it gets no new ones meanwhile", true);
  const force = radio("force", "End them now; their clients get an error", false);
  const fields = new Fields("unload");
  const seconds = drainSeconds && fields.make({ path: "drainSeconds", label: "For at most so many seconds", kind: "number", attributes: { placeholder: "30", ...drainSeconds.attributes } });
  const isForced = () => force.querySelector("input").checked;
  const set = make("fieldset", { class: "fields" }, make("legend", {}, "Running requests"), wait, seconds ?? "", force);
  set.addEventListener("change", () => seconds && (seconds.hidden = isForced()));
  return {
    nodes: [set],
    read: () => (isForced() ? { force: true } : Object.fromEntries([...fields.read()].filter(([, value]) => value !== null))),
  };
}
