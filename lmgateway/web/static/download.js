// Files that the page makes.

import { make } from "./dom.js";

/** Have the browser save a Blob as a file of this name. */
export function download(blob, name) {
  const url = URL.createObjectURL(blob);
  make("a", { href: url, download: name }).click();
  URL.revokeObjectURL(url);
}
