// A chart of values over time: points, or bars of equal lengths of time. The drawing is uPlot's.

import { byId, setText } from "./dom.js";

// What bars count is whole.
const WHOLE = Array.from({ length: 13 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat();

/**
 * A chart in the box of this id, with a title and a caption beside it. What `draw` gets:
 * `points` as [seconds, value], of a bar its middle and its beginning behind; `span` of the time axis, `hasBars`; `write` for a value, `axis` for one on
 * the axis, `moment` for a time; `least` is what the scale goes up to at least, so that small differences don't look
 * large; `title`, `summary` for the caption, `about` for its tooltip, and `description` for screen readers.
 */
export class Chart {
  #id;
  #box;
  #shown = null;
  #plot = null;
  #look = "";

  constructor(id) {
    this.#id = id;
    this.#box = byId(id);
    new ResizeObserver(() => this.#resize()).observe(this.#box);
  }

  draw(shown) {
    this.#shown = shown;
    const colours = getComputedStyle(document.documentElement);
    const look = `${colours.getPropertyValue("--accent")} ${shown.hasBars}`;
    if (look !== this.#look) {
      this.#plot?.destroy();
      this.#plot = this.#make(colours);
      this.#look = look;
    }
    this.#plot.setData([shown.points.map(([at]) => at), shown.points.map(([, value]) => (shown.hasBars && value === 0 ? null : value))]);
    setText(byId(`${this.#id}-title`), shown.title);
    byId(`${this.#id}-caption`).title = shown.about ?? "";
    this.#box.setAttribute("aria-label", shown.description);
    this.#showCaption();
  }

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.#box;
    if (width > 0) this.#plot?.setSize({ width, height });
  }

  #make(colours) {
    const colour = (name) => colours.getPropertyValue(name).trim();
    const axis = { stroke: colour("--soft"), font: "12px system-ui, sans-serif", grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    const marks = this.#shown.hasBars
      ? { fill: colour("--accent"), paths: uPlot.paths.bars({ size: [0.75, 48] }), points: { show: false } }
      : // No line, because there are no values between requests.
        { paths: () => null, points: { show: true, size: 6, fill: colour("--accent") } };
    const options = {
      width: Math.max(this.#box.clientWidth, 200),
      height: Math.max(this.#box.clientHeight, 100),
      padding: [8, 28, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 9, show: !this.#shown.hasBars } },
      scales: {
        x: { time: true, range: () => this.#shown.span },
        y: { range: (_plot, _least, most) => [0, Math.max(most ?? 0, this.#shown.least) * 1.15] },
      },
      axes: [
        { ...axis, size: 28, space: 64, values: (_plot, ticks) => ticks.map((tick) => this.#shown.moment(tick)) },
        { ...axis, size: widthOf, space: 30, ...(this.#shown.hasBars && { incrs: WHOLE }), values: (_plot, ticks) => ticks.map((tick) => (tick === 0 ? "0" : this.#shown.axis(tick))) },
      ],
      series: [{}, { stroke: colour("--accent"), ...marks }],
      hooks: { setCursor: [() => this.#showCaption()] },
    };
    return new uPlot(options, [[], []], this.#box);
  }

  #showCaption() {
    const { points, write, moment, summary } = this.#shown;
    const pointed = points[this.#plot?.cursor.idx ?? -1];
    setText(byId(`${this.#id}-caption`), pointed ? `${moment(pointed[2] ?? pointed[0])}: ${write(pointed[1])}` : summary);
  }
}

// The longest label has room. uPlot asks before there are any, too.
const widthOf = (_plot, labels) => Math.max(58, 16 + 7 * Math.max(0, ...(labels ?? []).map((label) => label.length)));
