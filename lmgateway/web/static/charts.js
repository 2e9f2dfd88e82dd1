// Tokens per second and time to first token over the last hour. The drawing is uPlot's.

import { byId, setText } from "./dom.js";
import { duration, median, minuteOfDay, plural, speed } from "./format.js";

const HOUR = 3600;
const LEAST_SECONDS = 300;

// A scale goes at least up to `least`, so that small differences don't look large.
const CHARTS = [
  { name: "speed", field: "tokensPerSecond", title: "Tokens per second", write: speed, least: 10 },
  { name: "ttft", field: "ttftMs", title: "Time to first token", write: duration, least: 100 },
];

const plots = new Map();

const resizes = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const { drawing } = plots.get(target.id.replace("-chart", ""));
    if (target.clientWidth > 0) drawing.setSize({ width: target.clientWidth, height: target.clientHeight });
  }
});

export function showCharts(lastHour) {
  for (const chart of CHARTS) {
    const points = lastHour
      .filter((one) => typeof one[chart.field] === "number")
      .map((one) => [Date.parse(one.timestamp) / 1000, one[chart.field]]);
    draw(chart, points);
  }
  byId("charts-empty").hidden = lastHour.some((one) => one.ttftMs !== null || one.tokensPerSecond !== null);
}

function draw(chart, points) {
  const box = byId(`${chart.name}-chart`);
  const data = [points.map(([at]) => at), points.map(([, value]) => value)];
  const colours = getComputedStyle(document.documentElement);
  const scheme = colours.getPropertyValue("--accent");
  let plot = plots.get(chart.name);
  if (plot?.scheme !== scheme) {
    plot?.drawing.destroy();
    plot = { scheme, drawing: makePlot(chart, box, colours), points };
    plots.set(chart.name, plot);
    resizes.observe(box);
  }
  plot.points = points;
  plot.drawing.setData(data);
  describe(chart, box, points);
}

function makePlot(chart, box, colours) {
  const colour = (name) => colours.getPropertyValue(name).trim();
  const axis = {
    stroke: colour("--soft"),
    font: "12px system-ui, sans-serif",
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { show: false },
  };
  const options = {
    width: Math.max(box.clientWidth, 200),
    height: Math.max(box.clientHeight, 100),
    padding: [8, 28, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 9 } },
    scales: {
      x: { time: true, range: (_plot, first) => span(first) },
      y: { range: (_plot, _least, most) => [0, Math.max(most ?? 0, chart.least) * 1.15] },
    },
    axes: [
      { ...axis, size: 28, space: 64, values: (_plot, ticks) => ticks.map(minuteOfDay) },
      { ...axis, size: 58, space: 30, values: (_plot, ticks) => ticks.map((tick) => (tick === 0 ? "0" : chart.write(tick))) },
    ],
    series: [
      {},
      // Points without a line, because there are no values between requests.
      { stroke: colour("--accent"), paths: () => null, points: { show: true, size: 6, fill: colour("--accent") } },
    ],
    hooks: { setCursor: [(plot) => showCaption(chart, plot.cursor.idx)] },
  };
  return new uPlot(options, [[], []], box);
}

/** The time axis: from the first point, so that a few minutes of data fill the width; at most an hour. */
function span(first) {
  const now = Date.now() / 1000;
  return [Math.max(now - HOUR, Math.min(first ?? 0, now - LEAST_SECONDS)), now];
}

function describe(chart, box, points) {
  const values = points.map(([, value]) => value);
  const sentence = values.length
    ? `${plural(values.length, "answer", "answers")}, latest ${chart.write(values.at(-1))}, median ${chart.write(median(values))}`
    : "no answers";
  box.setAttribute("aria-label", `${chart.title} over the last hour: ${sentence}`);
  showCaption(chart, plots.get(chart.name).drawing.cursor.idx);
}

function showCaption(chart, index) {
  const points = plots.get(chart.name)?.points ?? [];
  const caption = byId(`${chart.name}-caption`);
  const pointed = index === null || index === undefined ? undefined : points[index];
  if (pointed) setText(caption, `${minuteOfDay(pointed[0])}: ${chart.write(pointed[1])}`);
  else setText(caption, points.length ? `median ${chart.write(median(points.map(([, value]) => value)))}` : "");
}
