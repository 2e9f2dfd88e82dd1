// Bars of each hour's, day's or month's usage, stacked by group. The tables below have the same numbers. The drawing is uPlot's.

import { byId, make, setText } from "./dom.js";

// Of the longest label of a slot, and of the gap to the next one.
const LABEL_WIDTH = 64;
const AXIS_WIDTH = 58;
const STEPS = [1, 2, 5];

let plot = null;
let drawn = null;

/** Draw the groups of usage-groups.js for these slots of a range of usage-ranges.js. */
export function drawUsage(shown) {
  const box = byId("usage-chart");
  drawn = shown;
  byId("usage-legend").replaceChildren(...shown.groups.map(({ name }, index) => make("li", {}, make("span", { class: `swatch series-${index}` }), name)));
  plot?.destroy();
  plot = new uPlot(optionsOf(shown, box), dataOf(shown), box);
  box.setAttribute("aria-label", describe(shown));
  showPointed();
}

/** Of uPlot, which draws each series over those before: the sums of all groups, of all but the last one, and so on. */
function dataOf({ slots, groups }) {
  const sums = [];
  groups.forEach((group, index) => {
    sums.unshift(slots.map((slot, at) => valueOf(group, slot) + (index > 0 ? sums[0][at] : 0)));
  });
  return [slots.map((_slot, index) => index), ...sums.map((values) => values.map((value) => value || null))];
}

function optionsOf({ slots, range, measure, groups }, box) {
  const colours = getComputedStyle(document.documentElement);
  const colour = (name) => colours.getPropertyValue(name).trim();
  const axis = { stroke: colour("--soft"), font: "12px system-ui, sans-serif", ticks: { show: false } };
  const series = groups.map((_group, index) => {
    return { fill: getComputedStyle(document.querySelector(`#usage-legend .series-${index}`)).color, width: 0, paths: uPlot.paths.bars({ size: [0.75, 48] }), points: { show: false } };
  });
  return {
    width: Math.max(box.clientWidth, 200),
    height: box.clientHeight,
    padding: [8, LABEL_WIDTH / 2, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
    scales: { x: { time: false, range: [-0.5, slots.length - 0.5] }, y: { range: (_plot, _least, most) => [0, (most ?? measure.unit) * 1.05] } },
    axes: [
      { ...axis, size: 28, grid: { show: false }, splits: (drawing) => labelled(slots.length, drawing.width - AXIS_WIDTH - LABEL_WIDTH / 2), values: (_plot, ticks) => ticks.map((tick) => range.write(slots[tick])) },
      { ...axis, size: AXIS_WIDTH, space: 48, grid: { stroke: colour("--line"), width: 1 }, incrs: stepsOf(measure.unit), values: (_plot, ticks) => ticks.map((tick) => (tick === 0 ? "0" : measure.axis(tick))) },
    ],
    series: [{}, ...series.reverse()],
    hooks: { setCursor: [showPointed] },
  };
}

/** The slots that have a label. From the right, so that the present always has one. */
function labelled(count, width) {
  const every = Math.max(1, Math.ceil((count * LABEL_WIDTH) / width));
  return Array.from({ length: Math.ceil(count / every) }, (_, index) => count - 1 - index * every).reverse();
}

/** The distances that the lines may have: 1, 2 or 5 times a power of ten, at least one unit. */
function stepsOf(unit) {
  return Array.from({ length: 13 }, (_, power) => STEPS.map((step) => step * 10 ** power * unit)).flat();
}

function showPointed() {
  const slot = drawn.slots[plot?.cursor.idx ?? -1];
  const { measure, range, groups } = drawn;
  const values = groups.filter((group) => valueOf(group, slot) > 0).map((group) => `${group.name} ${measure.write(valueOf(group, slot))}`);
  setText(byId("usage-pointed"), slot === undefined ? "" : `${range.write(slot)}: ${values.join(", ") || "nothing"}`);
}

function describe({ slots, range, title, measure, groups }) {
  const sums = slots.map((slot) => groups.reduce((sum, group) => sum + valueOf(group, slot), 0));
  const most = sums.indexOf(Math.max(...sums));
  const all = sums.reduce((sum, value) => sum + value, 0);
  return `${measure.name} per ${range.unit} by ${title}, ${range.name}: ${measure.write(all)}, ${range.most} ${range.write(slots[most])}; ${groups.map(({ name, sum }) => `${name} ${measure.write(sum)}`).join(", ")}`;
}

const valueOf = (group, slot) => group.slots.get(slot) ?? 0;
