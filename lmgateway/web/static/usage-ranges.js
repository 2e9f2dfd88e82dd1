// The ranges of the usage: their hours, days or months, oldest first, and how one is written.

import { lastDays, lastHours, lastMonths } from "./days.js";
import { dayOfMonth, hourOfDay, monthOfYear } from "./format.js";

const HOUR = { unit: "hour", column: "Hour", write: hourOfDay, most: "most at", since: (slot) => slot };
const DAY = { unit: "day", column: "Day", write: dayOfMonth, most: "most on", since: (slot) => slot };
const MONTH = { unit: "month", column: "Month", write: monthOfYear, most: "most in", since: (slot) => `${slot}-01` };

export const RANGES = {
  hours: { ...HOUR, name: "the last 24 hours", slots: () => lastHours(24) },
  week: { ...DAY, name: "the last 7 days", slots: () => lastDays(7) },
  month: { ...DAY, name: "the last 30 days", slots: () => lastDays(30) },
  quarter: { ...DAY, name: "the last 90 days", slots: () => lastDays(90) },
  year: { ...MONTH, name: "the last 12 months", slots: () => lastMonths(12) },
};
