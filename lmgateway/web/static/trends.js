// The charts of the last hour, day or month: speeds of single requests, or the ledger's sums.

import { call } from "./api.js";
import { Chart } from "./charts.js";
import { lastDays } from "./days.js";
import { byId, setText } from "./dom.js";
import { compact, dayOf, duration, median, minuteOfDay, plural, speed } from "./format.js";
import { whileVisible } from "./visible.js";

const HOUR = 3600;
const HOURS = 24;
const DAYS = 30;
const REFRESH_SECONDS = 60;
const TITLES = { hour: "Last hour", day: "Last 24 hours", month: "Last 30 days" };

const OF_REQUESTS = [
  { field: "tokensPerSecond", about: "Answers of fewer than 8 tokens aren't counted, because their speed is mostly chance.", title: "Tokens per second", write: speed, axis: speed, least: 10 },
  { field: "ttftMs", title: "Time to first token", write: duration, axis: duration, least: 100 },
];
const OF_SUMS = [
  { of: ({ promptTokens, completionTokens }) => promptTokens + completionTokens, title: "Tokens", write: (value) => plural(value, "token", "tokens"), axis: compact, least: 10 },
  { of: ({ requests }) => requests, title: "Requests", write: (value) => plural(value, "request", "requests"), axis: compact, least: 10 },
];

export class Trends {
  #charts = [new Chart("chart-0"), new Chart("chart-1")];
  #lastHour = [];
  #sums = null;
  #isShown;

  constructor(isShown) {
    this.#isShown = isShown;
    for (const choice of choices()) choice.addEventListener("change", () => this.#chosen());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#show());
    whileVisible(REFRESH_SECONDS, () => this.#refresh());
  }

  /** Show the speeds of the last hour's requests, as /debug/requests reports them. */
  reported(lastHour) {
    this.#lastHour = lastHour;
    if (range() === "hour") this.#show();
  }

  shown() {
    this.#refresh();
  }

  #chosen() {
    this.#sums = null;
    setText(byId("charts-title"), TITLES[range()]);
    this.#show();
    this.#refresh();
  }

  async #refresh() {
    const asked = range();
    let mistake = "";
    if (asked !== "hour" && this.#isShown()) {
      const spans = asked === "day" ? hours() : days();
      const since = asked === "day" ? new Date(spans[0].from * 1000).toISOString() : spans[0].day;
      try {
        const { rows } = await call("GET", `admin/usage?by=${asked === "day" ? "hour" : "day"}&since=${since}`);
        if (range() !== asked) return;
        this.#sums = { spans, rows };
      } catch (error) {
        mistake = error.message;
      }
    }
    setText(byId("charts-mistake"), mistake);
    this.#show();
  }

  #show() {
    const drawn = range() === "hour" ? OF_REQUESTS.map((kind) => ofRequests(kind, this.#lastHour)) : OF_SUMS.map((kind) => ofSums(kind, range(), this.#sums));
    this.#charts.forEach((chart, index) => chart.draw(drawn[index]));
    const isEmpty = drawn.every(({ points }) => points.every(([, value]) => value === 0));
    byId("charts-empty").hidden = !isEmpty || (range() !== "hour" && this.#sums === null);
    setText(byId("charts-empty"), range() === "hour" ? "No tokens were generated in the last hour. The charts fill as apps send requests." : `No request has ended in the ${TITLES[range()].toLowerCase()}.`);
  }
}

const choices = () => document.querySelectorAll("input[name=charts-range]");
const range = () => document.querySelector("input[name=charts-range]:checked").value;

function ofRequests({ field, title, write, about = "", ...kind }, lastHour) {
  const now = Date.now() / 1000;
  const points = lastHour.filter((one) => typeof one[field] === "number").map((one) => [Date.parse(one.timestamp) / 1000, one[field]]);
  const values = points.map(([, value]) => value);
  const middle = write(median(values));
  const told = values.length ? `${plural(values.length, "answer", "answers")}, latest ${write(values.at(-1))}, median ${middle}` : "no answers";
  const description = `${title} over the last hour: ${told}`;
  return { ...kind, title, write, points, span: [now - HOUR, now], hasBars: false, moment: minuteOfDay, summary: values.length ? `median ${middle}` : "", about, description: about ? `${description}. ${about}` : description };
}

function ofSums({ of, title, write, ...kind }, range, sums) {
  const spans = sums?.spans ?? (range === "day" ? hours() : days());
  const moment = range === "day" ? minuteOfDay : dayOf;
  const points = spans.map(({ from, until, day }) => {
    const inside = (row) => (day ? row.day === day : Date.parse(row.hour) / 1000 >= from && Date.parse(row.hour) / 1000 < until);
    return [(from + until) / 2, (sums?.rows ?? []).filter(inside).reduce((sum, row) => sum + of(row), 0), from];
  });
  const all = write(points.reduce((sum, [, value]) => sum + value, 0));
  const most = points.reduce((best, point) => (point[1] > best[1] ? point : best));
  const whole = `${title} per ${range === "day" ? "hour" : "day"}`;
  return { ...kind, title: whole, write, points, span: [spans[0].from, spans.at(-1).until], hasBars: true, moment, summary: sums ? all : "", description: `${whole} over the ${TITLES[range].toLowerCase()}: ${all}, most at ${moment(most[2])}: ${write(most[1])}` };
}

/** The last hours, this one included, as {from, until} in seconds. */
function hours() {
  const now = new Date();
  const last = now.setMinutes(0, 0, 0) / 1000;
  return Array.from({ length: HOURS }, (_, index) => ({ from: last - (HOURS - 1 - index) * HOUR, until: last - (HOURS - 2 - index) * HOUR }));
}

/** The last days, today included, as {day, from, until}. */
function days() {
  return lastDays(DAYS).map((day) => {
    const [year, month, date] = day.split("-").map(Number);
    return { day, from: new Date(year, month - 1, date) / 1000, until: new Date(year, month - 1, date + 1) / 1000 };
  });
}
