// Bars of each day's usage, stacked by group, as SVG. The tables below have the same numbers.

import { byId, make } from "./dom.js";
import { dayOfMonth } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 240;
const LEFT = 56;
const BOTTOM = 24;
const TOP = 8;
const LABEL_WIDTH = 56;
const STEPS = [1, 2, 5, 10];
const LINES = 4;

/** Draw the groups of usage-groups.js for these dates. */
export function drawUsage({ days, by, measure, groups }) {
  const box = byId("usage-chart");
  const width = Math.max(box.clientWidth, 200);
  const sums = days.map((day) => groups.reduce((sum, group) => sum + (group.days.get(day) ?? 0), 0));
  const step = stepOf(Math.max(...sums), measure.unit);
  const top = Math.max(step, Math.ceil(Math.max(...sums) / step) * step);
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
  const slot = (width - LEFT) / days.length;
  const x = (index) => LEFT + index * slot;
  const drawing = svg("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": describe({ days, by, measure, groups, sums }) });
  for (let value = 0; value <= top; value += step) {
    drawing.append(svg("line", { class: "grid", x1: LEFT, x2: width, y1: y(value), y2: y(value) }));
    drawing.append(svg("text", { class: "tick", x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, value === 0 ? "0" : measure.axis(value)));
  }
  // From the right, so that today always has its label.
  const every = Math.ceil(LABEL_WIDTH / slot);
  days.forEach((day, index) => {
    if ((days.length - 1 - index) % every === 0 && x(index) + slot / 2 > LEFT + LABEL_WIDTH / 3) {
      const isLast = index === days.length - 1;
      const at = isLast ? { x: width, "text-anchor": "end" } : { x: x(index) + slot / 2, "text-anchor": "middle" };
      drawing.append(svg("text", { class: "tick", y: HEIGHT - 6, ...at }, dayOfMonth(day)));
    }
    drawing.append(...bars({ day, groups, measure, x: x(index), slot, y }));
  });
  box.replaceChildren(drawing);
  byId("usage-legend").replaceChildren(...groups.map(({ name }, index) => make("li", {}, make("span", { class: `swatch series-${index}` }), name)));
}

function bars({ day, groups, measure, x, slot, y }) {
  const gap = Math.min(slot * 0.25, 6);
  let below = 0;
  return groups.flatMap(({ name, days }, index) => {
    const value = days.get(day) ?? 0;
    if (value === 0) return [];
    const rect = svg("rect", {
      class: `series-${index}`,
      x: x + gap / 2,
      y: y(below + value),
      width: slot - gap,
      height: Math.max(y(below) - y(below + value), 0.5),
    });
    rect.append(svg("title", {}, `${dayOfMonth(day)}, ${name}: ${measure.write(value)}`));
    below += value;
    return [rect];
  });
}

function describe({ days, by, measure, groups, sums }) {
  const most = sums.indexOf(Math.max(...sums));
  const all = sums.reduce((sum, value) => sum + value, 0);
  return `${measure.name} per day by ${by}, the last ${days.length} days: ${measure.write(all)}, most on ${dayOfMonth(days[most])}; ${groups.map(({ name, sum }) => `${name} ${measure.write(sum)}`).join(", ")}`;
}

/** The distance of the axis' lines: 1, 2 or 5 times a power of ten, at least one unit. */
function stepOf(most, unit) {
  const least = most / unit / LINES;
  const power = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(least, 1))));
  return STEPS.find((step) => step * power >= least) * power * unit;
}

function svg(name, attributes, text = "") {
  const node = document.createElementNS(SVG, name);
  for (const [attribute, value] of Object.entries(attributes)) node.setAttribute(attribute, value);
  node.append(text);
  return node;
}
