// QR codes, which the gateway makes.

import { request } from "./api.js";
import { make } from "./dom.js";

const OWN_MACHINE = /^https?:\/\/(localhost|127(\.\d+){3}|\[::1\])[:/]/;
const NO_PHONE = "A phone can't open this address of the gateway's own machine. Open the dashboard by the machine's address in your network, and scan the code there.";

const latest = new WeakMap();

/** Show a text of ASCII characters, at most 500, as a QR code in the element. Throws ApiError. */
export async function showQr(element, text, label = "QR code") {
  latest.set(element, text);
  const headers = { "Content-Type": "application/json" };
  const response = await request("POST", "dashboard/qr", { headers, body: JSON.stringify({ text }) });
  const image = await response.text();
  // Of two requests for the same element the later one counts.
  if (latest.get(element) !== text) return;
  const hint = OWN_MACHINE.test(text) ? [make("p", { class: "hint" }, NO_PHONE)] : [];
  element.replaceChildren(make("img", { class: "qr", alt: label, src: `data:image/svg+xml,${encodeURIComponent(image)}` }), ...hint);
}
