// The form in which the user chooses notifications.

import { askForAlerts } from "./alerts.js";
import { byId, setText } from "./dom.js";

const CHOICES = ["studio", "load", "line"];

/** Show what is chosen, and let the user change it. The browser is asked for permission only at a click. */
export function showAlertChoices(alerts) {
  const length = byId("alert-line-length");
  length.value = alerts.chosen.lineLength;
  for (const name of CHOICES) {
    const box = byId(`alert-${name}`);
    box.checked = alerts.isOn && alerts.chosen[name];
    box.addEventListener("change", () => change(alerts, name, box));
  }
  length.addEventListener("change", () => length.checkValidity() && alerts.choose({ lineLength: length.valueAsNumber }));
}

async function change(alerts, name, box) {
  const mistake = box.checked && !alerts.isOn ? await askForAlerts() : null;
  box.checked &&= mistake === null;
  setText(byId("alerts-mistake"), mistake ?? "");
  alerts.choose({ [name]: box.checked });
}
