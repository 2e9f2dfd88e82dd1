// Dates such as 2027-01-31, in the browser's zone, which is mostly the gateway's.

const dateOf = (moment) => {
  const part = (number) => String(number).padStart(2, "0");
  return `${moment.getFullYear()}-${part(moment.getMonth() + 1)}-${part(moment.getDate())}`;
};

export const today = () => dateOf(new Date());

export const firstOfMonth = () => `${today().slice(0, 8)}01`;

/** The last days, today included, oldest first. */
export function lastDays(number) {
  const now = new Date();
  return Array.from({ length: number }, (_, index) => {
    return dateOf(new Date(now.getFullYear(), now.getMonth(), now.getDate() - number + 1 + index));
  });
}
