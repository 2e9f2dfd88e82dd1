// A QR code that is made when its part of the page is opened.

import { ApiError } from "./api.js";
import { setText } from "./dom.js";
import { showQr } from "./qr.js";

const OWN_HOSTS = /^(localhost|127\.[\d.]+|\[::1\])$/;
const OWN_ONLY =
  "This page was opened by an address of the gateway's own machine, which no other device can use. For a code that works on a phone, open the dashboard by the machine's address on the network.";

/** Show a text as a QR code in a <details> with a `.mistake` and a `.qr-box` when it is opened; `label` describes it. */
export function qrWhenOpened(details, text, label) {
  const mistake = details.querySelector(".mistake");
  details.addEventListener("toggle", async () => {
    if (!details.open) return;
    setText(mistake, OWN_HOSTS.test(location.hostname) ? OWN_ONLY : "");
    try {
      await showQr(details.querySelector(".qr-box"), text, label);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setText(mistake, error.message);
    }
  });
}
