// A QR code that is made when its part of the page is opened.

import { ApiError } from "./api.js";
import { setText } from "./dom.js";
import { showQr } from "./qr.js";

/** Show a text as a QR code in a <details> with a `.mistake` and a `.qr-box` when it is opened; `label` describes it. */
export function qrWhenOpened(details, text, label) {
  const mistake = details.querySelector(".mistake");
  details.addEventListener("toggle", async () => {
    if (!details.open) return;
    setText(mistake, "");
    try {
      await showQr(details.querySelector(".qr-box"), text, label);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setText(mistake, error.message);
    }
  });
}
