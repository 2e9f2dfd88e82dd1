// The usage per day: asked for when the view is shown, and when the range or the grouping changes.

import { call, request } from "./api.js";
import { lastDays } from "./days.js";
import { byId, setText } from "./dom.js";
import { drawUsage } from "./usage-chart.js";
import { MEASURES, groupRows } from "./usage-groups.js";
import { showDays, showTotals } from "./usage-tables.js";

export class Usage {
  #report = null;
  // Of two requests under way the later one counts.
  #turn = 0;

  constructor() {
    for (const id of ["usage-range", "usage-by"]) byId(id).addEventListener("change", () => this.shown());
    byId("usage-measure").addEventListener("change", () => this.#draw());
    byId("usage-csv").addEventListener("click", () => this.#download());
    new ResizeObserver(() => this.#draw()).observe(byId("usage-chart"));
  }

  async shown() {
    const turn = ++this.#turn;
    const by = byId("usage-by").value;
    const days = lastDays(Number(byId("usage-range").value));
    let report = null;
    let mistake = "";
    try {
      const { rows, total } = await call("GET", query(days, by));
      // The gateway's day may have begun before the browser's.
      const later = rows.map(({ day }) => day).filter((day) => day > days.at(-1));
      report = { days: [...days, ...new Set(later)], by, total, rows: rows.map((row) => ({ ...row, group: row[by] })) };
    } catch (error) {
      mistake = error.message;
    }
    if (turn !== this.#turn) return;
    this.#report = report;
    setText(byId("usage-mistake"), mistake);
    this.#show();
  }

  #show() {
    const rows = this.#report?.rows ?? [];
    byId("usage-empty").hidden = this.#report === null || rows.length > 0;
    byId("usage-data").hidden = rows.length === 0;
    byId("usage-csv").hidden = rows.length === 0;
    if (rows.length === 0) return;
    showTotals(this.#report);
    showDays(this.#report);
    this.#draw();
  }

  #draw() {
    if (!this.#report?.rows.length) return;
    const measure = MEASURES[byId("usage-measure").value];
    drawUsage({ days: this.#report.days, by: this.#report.by, measure, groups: groupRows(this.#report.rows, measure) });
  }

  // A link couldn't send the key.
  async #download() {
    const { days, by } = this.#report;
    try {
      const response = await request("GET", `${query(days, by)}&format=csv`);
      const url = URL.createObjectURL(await response.blob());
      const link = document.createElement("a");
      link.href = url;
      link.download = `usage-${days[0]}-${days.at(-1)}.csv`;
      link.click();
      URL.revokeObjectURL(url);
      setText(byId("usage-mistake"), "");
    } catch (error) {
      setText(byId("usage-mistake"), error.message);
    }
  }
}

const query = (days, by) => `admin/usage?by=day,${by}&since=${days[0]}`;
