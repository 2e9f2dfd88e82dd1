// Formats numbers, times and sizes for people.

const whole = new Intl.NumberFormat();
const tenths = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const shortClock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });

const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const short = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
// The least seconds for which a unit is used, largest first.
const UNITS = [["day", 86_400], ["hour", 3600], ["minute", 60]];

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

export const NOTHING = "–";

export const count = (value) => (isNumber(value) ? whole.format(value) : NOTHING);

/** A number for an axis: 1.2K. */
export const compact = (value) => short.format(value);

export const speed = (value) => (isNumber(value) ? tenths.format(value) : NOTHING);

export const percent = (fraction) => `${Math.floor(fraction * 100)} %`;

export const plural = (number, one, many) => `${count(number)} ${number === 1 ? one : many}`;

export function duration(milliseconds) {
  if (!isNumber(milliseconds)) return NOTHING;
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${tenths.format(seconds)} s`;
  const hours = Math.floor(seconds / 3600);
  if (hours > 0) return `${count(hours)} h ${Math.floor((seconds % 3600) / 60)} min`;
  const rest = Math.floor(seconds % 60);
  return `${Math.floor(seconds / 60)} min${rest ? ` ${rest} s` : ""}`;
}

/** A duration of minutes or more, in whole minutes: "2 h 5 min". */
export const roughly = (milliseconds) => duration(Math.floor(milliseconds / 60_000) * 60_000);

export function size(bytes) {
  if (!isNumber(bytes)) return null;
  return bytes >= 1e9 ? `${tenths.format(bytes / 1e9)} GB` : `${whole.format(Math.ceil(bytes / 1e6))} MB`;
}

export function timeOfDay(timestamp) {
  const moment = new Date(timestamp);
  return Number.isNaN(moment.valueOf()) ? NOTHING : clock.format(moment);
}

export const minuteOfDay = (seconds) => shortClock.format(new Date(seconds * 1000));

/** A day of the month, from seconds. */
export const dayOf = (seconds) => day.format(new Date(seconds * 1000));

/** A day of the month, from a date such as 2027-01-31. */
export function dayOfMonth(date) {
  const [year, month, number] = date.split("-").map(Number);
  return day.format(new Date(year, month - 1, number));
}

export const dateAndTime = (timestamp) => moment.format(new Date(timestamp));

/** How far a time is from now: "5 minutes ago", "in 3 days". */
export function fromNow(timestamp) {
  const seconds = (Date.parse(timestamp) - Date.now()) / 1000;
  for (const [unit, least] of UNITS) {
    if (Math.abs(seconds) >= least) return relative.format(Math.trunc(seconds / least), unit);
  }
  return seconds > 0 ? "in less than a minute" : "just now";
}

export function median(numbers) {
  const sorted = numbers.filter(isNumber).sort((a, b) => a - b);
  if (sorted.length === 0) return null;
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
