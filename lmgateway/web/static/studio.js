// The tile that shows whether LM Studio answers.

import { call } from "./api.js";
import { byId, setText } from "./dom.js";
import { duration } from "./format.js";
import { whileVisible } from "./visible.js";

const SECONDS = 10;

/**
 * Poll, and while `isNeeded` is true also in a hidden page. `changed(isReachable)` is called when the result changes.
 * Returns a function that polls at once.
 */
export function watchStudio(changed, isNeeded) {
  let before = null;
  return whileVisible(SECONDS, async () => {
    const state = await ask();
    show(state);
    if (state.reachable !== before) changed(state.reachable);
    before = state.reachable;
  }, isNeeded);
}

async function ask() {
  try {
    return (await call("GET", "health/ready")).lmstudio;
  } catch (error) {
    // An unreachable LM Studio is a 503 whose body has the same fields.
    return error.body?.lmstudio ?? { reachable: null, sentence: error.message };
  }
}

function show({ reachable, latencyMs, baseUrl, sentence }) {
  const tile = byId("tile-studio");
  tile.dataset.mood = reachable ? "good" : "bad";
  const [big, sub] = tile.querySelectorAll("p");
  setText(big, reachable ? "Reachable" : reachable === false ? "Not reachable" : "Unknown");
  if (reachable) setText(sub, `Answers in ${duration(latencyMs)}`);
  else setText(sub, sentence ?? `No answer from ${baseUrl}. Start LM Studio's server there.`);
}
