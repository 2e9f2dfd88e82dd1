// The tab's title: what runs, and which view is shown.

import { count } from "./format.js";

const NAME = "lmgateway";

let view = "";
let activity = "";

export function showViewInTitle(name) {
  view = name;
  show();
}

/** Say how many requests run and wait; null if that isn't known. */
export function showActivityInTitle(numbers) {
  const { running, waiting } = numbers ?? { running: 0, waiting: 0 };
  activity = [running > 0 && `${count(running)} running`, waiting > 0 && `${count(waiting)} waiting`].filter(Boolean).join(", ");
  show();
}

function show() {
  document.title = [activity, view, NAME].filter(Boolean).join(" · ");
}
