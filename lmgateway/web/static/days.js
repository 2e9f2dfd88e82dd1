// Hours, dates such as 2027-01-31 and months such as 2027-01, in the browser's zone, which is mostly the gateway's.

const dateOf = (moment) => {
  const part = (number) => String(number).padStart(2, "0");
  return `${moment.getFullYear()}-${part(moment.getMonth() + 1)}-${part(moment.getDate())}`;
};

export const today = () => dateOf(new Date());

export const firstOfMonth = () => `${today().slice(0, 8)}01`;

/** When each of the last hours began, this one included, oldest first: as the gateway writes times. */
export function lastHours(number) {
  const now = new Date();
  now.setMinutes(0, 0, 0);
  return Array.from({ length: number }, (_, index) => new Date(now - (number - 1 - index) * 3_600_000).toISOString());
}

/** The last months, this one included, oldest first. */
export function lastMonths(number) {
  const now = new Date();
  return Array.from({ length: number }, (_, index) => {
    return dateOf(new Date(now.getFullYear(), now.getMonth() - number + 1 + index, 1)).slice(0, 7);
  });
}

/** The last days, today included, oldest first. */
export function lastDays(number) {
  const now = new Date();
  return Array.from({ length: number }, (_, index) => {
    return dateOf(new Date(now.getFullYear(), now.getMonth(), now.getDate() - number + 1 + index));
  });
}
