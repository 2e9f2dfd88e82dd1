// Renders what the gateway runs on, and its LM Studio.

import { byId, make, setChildren } from "./dom.js";
import { NOTHING, count, duration, plural, size } from "./format.js";

export function showSystem({ gateway, machine, boxes }) {
  const faults = boxes.flatMap((box) => box.faults);
  setChildren(byId("system-faults"), faults.map(faultRow));
  byId("system-faults").hidden = faults.length === 0;
  setChildren(byId("system-gateway"), terms(aboutGateway(gateway, machine)));
  setChildren(byId("system-boxes"), boxes.map((box) => boxNode(box, boxes.length > 1)));
}

const faultRow = ({ message, remedy }) => make("li", { class: "fault" }, make("p", {}, message), make("p", { class: "sub" }, remedy));

const terms = (facts) => facts.flatMap(([term, text]) => [make("dt", {}, term), make("dd", {}, text)]);

function aboutGateway({ version, pythonVersion, packages, platform, uptime, memory, running, totalRequests, totalErrors }, machine) {
  const libraries = Object.entries(packages).map(([name, one]) => `${name} ${one}`);
  return [
    ["lmgateway", version],
    ["Python", [pythonVersion, ...libraries].join(", ")],
    ["System", platform],
    ["Running for", duration(Math.floor(uptime / 60) * 60_000 || uptime * 1000)],
    ["Memory", `${size(memory)} of this process`],
    ["Machine", machine === null ? "hidden from the gateway's service" : `${size(machine.available)} of ${size(machine.memory)} of memory are free`],
    ["Requests", `${count(totalRequests)} since the start, ${count(totalErrors)} failed, ${count(running)} now`],
  ];
}

function boxNode(box, isNamed) {
  const { models } = box;
  const memory = models?.length ? make("ul", { role: "list", class: "meters", "aria-label": `Sizes of the models in memory of ${box.box}` }, ...bySize(models).map(modelRow)) : "";
  const heading = isNamed ? make("h3", {}, box.box) : "";
  return make("div", {}, heading, make("dl", { class: "facts" }, ...terms(aboutBox(box))), memory);
}

function aboutBox({ baseUrl, reachable, latencyMs, version, isLocal, models }) {
  const state = reachable ? `Reachable, answers in ${duration(latencyMs)}` : "Not reachable. Start LM Studio's server there.";
  return [
    ["Address", baseUrl],
    ["State", state],
    ["Version", version ?? (reachable ? "unknown: its SDK can't be reached" : NOTHING)],
    ["Machine", isLocal ? "the gateway's" : "another one, whose memory isn't known here"],
    ["In memory", inMemory(models)],
  ];
}

function inMemory(models) {
  if (models === null) return "unknown";
  if (models.length === 0) return "no model";
  const known = models.filter((one) => one.size !== null);
  const total = size(known.reduce((sum, one) => sum + one.size, 0));
  const sizes = known.length === 0 ? "of unknown size" : `${known.length < models.length ? "more than " : ""}${total}, and their contexts in addition`;
  return `${plural(models.length, "model", "models")}, ${sizes}`;
}

const bySize = (models) => [...models].sort((one, other) => (other.size ?? 0) - (one.size ?? 0));

function modelRow({ identifier, modelKey, size: bytes }) {
  const name = identifier === modelKey ? identifier : `${identifier} (${modelKey})`;
  return make("li", {}, make("p", { class: "meter" }, make("span", { class: "name" }, name), make("span", { class: "hint" }, size(bytes) ?? "size unknown")));
}
