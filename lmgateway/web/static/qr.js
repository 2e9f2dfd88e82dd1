// QR codes, which the gateway makes.

import { request } from "./api.js";
import { make } from "./dom.js";

const latest = new WeakMap();

/** Show a text of ASCII characters, at most 500, as a QR code in the element. Throws ApiError. */
export async function showQr(element, text, label = "QR code") {
  latest.set(element, text);
  const headers = { "Content-Type": "application/json" };
  const response = await request("POST", "dashboard/qr", { headers, body: JSON.stringify({ text }) });
  const image = await response.text();
  // Of two requests for the same element the later one counts.
  if (latest.get(element) !== text) return;
  element.replaceChildren(make("img", { class: "qr", alt: label, src: `data:image/svg+xml,${encodeURIComponent(image)}` }));
}
