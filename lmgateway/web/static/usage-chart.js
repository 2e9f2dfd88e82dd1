// Bars of each hour's, day's or month's usage, stacked by group, as SVG. The tables below have the same numbers.

import { byId, make } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 240;
const LEFT = 56;
const BOTTOM = 24;
const TOP = 8;
// Of a character of a label, at most.
const CHARACTER = 7;
const GAP = 12;
const STEPS = [1, 2, 5, 10];
const LINES = 4;

/** Draw the groups of usage-groups.js for these slots of a range of usage-ranges.js. */
export function drawUsage({ slots, range, title, measure, groups }) {
  const box = byId("usage-chart");
  const width = Math.max(box.clientWidth, 200);
  const sums = slots.map((slot) => groups.reduce((sum, group) => sum + (group.slots.get(slot) ?? 0), 0));
  const step = stepOf(Math.max(...sums), measure.unit);
  const top = Math.max(step, Math.ceil(Math.max(...sums) / step) * step);
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
  const breadth = (width - LEFT) / slots.length;
  const x = (index) => LEFT + index * breadth;
  const drawing = svg("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": describe({ slots, range, title, measure, groups, sums }) });
  for (let value = 0; value <= top; value += step) {
    drawing.append(svg("line", { class: "grid", x1: LEFT, x2: width, y1: y(value), y2: y(value) }));
    drawing.append(svg("text", { class: "tick", x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, value === 0 ? "0" : measure.axis(value)));
  }
  // From the right, so that the present always has its label.
  const label = CHARACTER * Math.max(...slots.map((slot) => range.write(slot).length));
  // The last one ends with the chart, and so stands half its width nearer to the one before.
  const every = Math.ceil((1.5 * label + GAP - breadth / 2) / breadth);
  slots.forEach((slot, index) => {
    if ((slots.length - 1 - index) % every === 0 && x(index) + breadth / 2 > LEFT + label / 3) {
      const isLast = index === slots.length - 1;
      const at = isLast ? { x: width, "text-anchor": "end" } : { x: x(index) + breadth / 2, "text-anchor": "middle" };
      drawing.append(svg("text", { class: "tick", y: HEIGHT - 6, ...at }, range.write(slot)));
    }
    drawing.append(...bars({ slot, name: range.write(slot), groups, measure, x: x(index), breadth, y }));
  });
  box.replaceChildren(drawing);
  byId("usage-legend").replaceChildren(...groups.map(({ name }, index) => make("li", {}, make("span", { class: `swatch series-${index}` }), name)));
}

function bars({ slot, name: time, groups, measure, x, breadth, y }) {
  const gap = Math.min(breadth * 0.25, 6);
  let below = 0;
  return groups.flatMap(({ name, slots }, index) => {
    const value = slots.get(slot) ?? 0;
    if (value === 0) return [];
    const rect = svg("rect", {
      class: `series-${index}`,
      x: x + gap / 2,
      y: y(below + value),
      width: breadth - gap,
      height: Math.max(y(below) - y(below + value), 0.5),
    });
    rect.append(svg("title", {}, `${time}, ${name}: ${measure.write(value)}`));
    below += value;
    return [rect];
  });
}

function describe({ slots, range, title, measure, groups, sums }) {
  const most = sums.indexOf(Math.max(...sums));
  const all = sums.reduce((sum, value) => sum + value, 0);
  return `${measure.name} per ${range.unit} by ${title}, ${range.name}: ${measure.write(all)}, ${range.most} ${range.write(slots[most])}; ${groups.map(({ name, sum }) => `${name} ${measure.write(sum)}`).join(", ")}`;
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
