// The view of the system: versions, memory, known faults, and the configuration in force.

import { call, request } from "./api.js";
import { showConfig } from "./config-view.js";
import { showBoxes } from "./boxes.js";
import { copyButton } from "./copying.js";
import { openDialog } from "./dialog.js";
import { byId, make, setText } from "./dom.js";
import { notifyError } from "./notices.js";
import { showSystem } from "./system-view.js";
import { whileShown } from "./visible.js";

// A reload of the configuration makes no event.
const REFRESH_SECONDS = 10;

export class System {
  #isAdmin;
  #settings = null;

  constructor(caller, isShown) {
    this.#isAdmin = caller.has("admin");
    byId("system-config").hidden = !this.#isAdmin;
    for (const [id, event] of [["config-find", "input"], ["config-show", "change"]]) byId(id).addEventListener(event, () => showConfig(this.#settings));
    byId("system-metrics").addEventListener("click", () => showText("Metrics for Prometheus", "metrics"));
    byId("system-ready").addEventListener("click", () => showText("Readiness of LM Studio", "health/ready"));
    this.shown = whileShown(REFRESH_SECONDS, isShown, () => this.#refresh());
  }

  async #refresh() {
    await Promise.all([
      this.#ask("debug/system", "system-mistake", showSystem),
      this.#isAdmin && this.#ask("admin/boxes", "boxes-mistake", ({ boxes }) => showBoxes(boxes)),
      this.#isAdmin && this.#ask("admin/config", "config-mistake", ({ settings }) => showConfig((this.#settings = settings))),
    ]);
  }

  async #ask(path, mistake, show) {
    try {
      show(await call("GET", path));
      setText(byId(mistake), "");
    } catch (error) {
      setText(byId(mistake), error.message);
    }
  }
}

// A link couldn't send the key.
async function showText(title, path) {
  try {
    const text = make("pre", {}, await textOf(path));
    const code = make("div", { class: "code", tabindex: "0", role: "group", "aria-label": title }, text);
    const about = make("p", { class: "hint" }, "GET ", make("code", {}, `/${path}`), ", with your key.");
    await openDialog({ title, content: [about, code, copyButton(text, "Copy")], confirm: "Close", cancel: null, wide: true });
  } catch (error) {
    notifyError(error);
  }
}

async function textOf(path) {
  try {
    const text = await (await request("GET", path)).text();
    return path === "metrics" ? text : JSON.stringify(JSON.parse(text), null, 2);
  } catch (error) {
    // An LM Studio that isn't ready is a 503 with the same body.
    if (error.body === undefined || error.body === null) throw error;
    return JSON.stringify(error.body, null, 2);
  }
}
