// The usage per hour, day or month: fetched when the view is shown, now and then, and when a choice changes.

import { call, request } from "./api.js";
import { byId, make, setText } from "./dom.js";
import { download } from "./download.js";
import { drawUsage } from "./usage-chart.js";
import { MEASURES, groupRows } from "./usage-groups.js";
import { RANGES } from "./usage-ranges.js";
import { showTimes, showTotals } from "./usage-tables.js";
import { whileVisible } from "./visible.js";

const REFRESH_SECONDS = 60;
const OF_KEY = "of ";

export class Usage {
  #report = null;
  #keys = new Set();
  // Of two requests under way the later one counts.
  #turn = 0;

  constructor(isShown) {
    for (const id of ["usage-range", "usage-by"]) byId(id).addEventListener("change", () => this.shown());
    byId("usage-measure").addEventListener("change", () => this.#draw());
    byId("usage-csv").addEventListener("click", () => this.#download());
    new ResizeObserver(() => this.#draw()).observe(byId("usage-chart"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
    whileVisible(REFRESH_SECONDS, () => isShown() && this.shown());
  }

  async shown() {
    const turn = ++this.#turn;
    const asked = choice();
    let report = null;
    let mistake = "";
    try {
      report = reportOf(asked, await call("GET", asked.query));
    } catch (error) {
      mistake = error.message;
    }
    if (turn !== this.#turn) return;
    this.#report = report;
    setText(byId("usage-mistake"), mistake);
    this.#offerKeys(report?.rows.map(({ key }) => key) ?? []);
    this.#show();
  }

  // Those that a report has shown: without the scope `admin` no list has them.
  #offerKeys(names) {
    const known = this.#keys.size;
    for (const name of names) if (name !== undefined) this.#keys.add(name);
    if (this.#keys.size === known) return;
    const by = byId("usage-by");
    const selected = by.value;
    byId("usage-of").replaceChildren(...[...this.#keys].sort().map((name) => make("option", { value: OF_KEY + name }, `models of ${name}`)));
    by.value = selected;
  }

  #show() {
    const rows = this.#report?.rows ?? [];
    setText(byId("usage-empty"), `No request has ended in ${this.#report?.range.name}.`);
    byId("usage-empty").hidden = this.#report === null || rows.length > 0;
    byId("usage-data").hidden = rows.length === 0;
    byId("usage-csv").hidden = rows.length === 0;
    if (rows.length === 0) return;
    showTotals(this.#report);
    showTimes(this.#report);
    this.#draw();
  }

  #draw() {
    if (!this.#report?.rows.length) return;
    const measure = MEASURES[byId("usage-measure").value];
    drawUsage({ ...this.#report, measure, groups: groupRows(this.#report.rows, measure) });
  }

  // A link couldn't send the key.
  async #download() {
    const { query, slots } = this.#report;
    try {
      const response = await request("GET", `${query}&format=csv`);
      download(await response.blob(), `usage-${fileName(slots[0])}-${fileName(slots.at(-1))}.csv`);
      setText(byId("usage-mistake"), "");
    } catch (error) {
      setText(byId("usage-mistake"), error.message);
    }
  }
}

/** What is selected: the range, the dimension of the groups, and of which key alone, if of one. */
function choice() {
  const range = RANGES[byId("usage-range").value];
  const selected = byId("usage-by").value;
  const key = selected.startsWith(OF_KEY) ? selected.slice(OF_KEY.length) : null;
  const by = key === null ? selected : "model";
  const slots = range.slots();
  const dimensions = key === null ? by : "key,model";
  const query = `admin/usage?by=${range.unit},${dimensions}&since=${encodeURIComponent(range.since(slots[0]))}`;
  return { range, slots, by, key, query, title: key === null ? by : `model of ${key}` };
}

function reportOf({ range, slots, key, by, ...rest }, { rows }) {
  const shown = rows
    .filter((row) => key === null || row.key === key)
    .map((row) => ({ ...row, slot: row[range.unit], group: row[by] }));
  // The gateway's day may have begun before the browser's, and its hours may begin at other minutes.
  const all = [...new Set([...slots, ...shown.map(({ slot }) => slot)])].sort();
  return { ...rest, range, by, slots: all, rows: shown };
}

const fileName = (slot) => slot.slice(0, "2027-01-31T12".length);
