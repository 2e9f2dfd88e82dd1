// Whether LM Studio answers.

import { call } from "./api.js";
import { byId, setText } from "./dom.js";
import { duration } from "./format.js";
import { whileVisible } from "./visible.js";

const SECONDS = 10;

/** Keep looking; `changed(isReachable)` is called when the answer is another one than before. Returns a function
 * that looks at once.
 */
export function watchStudio(changed) {
  let before = null;
  return whileVisible(SECONDS, async () => {
    const found = await ask();
    show(found);
    if (found.reachable !== before) changed(found.reachable);
    before = found.reachable;
  });
}

async function ask() {
  try {
    return (await call("GET", "health/ready")).lmstudio;
  } catch (error) {
    // "Not reachable" is an answer too, with a status of its own.
    return error.body?.lmstudio ?? { reachable: null, sentence: error.message };
  }
}

function show({ reachable, latencyMs, baseUrl, sentence }) {
  const tile = byId("tile-studio");
  tile.dataset.mood = reachable ? "good" : "bad";
  const [big, sub] = tile.querySelectorAll("p");
  setText(big, reachable ? "Reachable" : reachable === false ? "Not reachable" : "Unknown");
  if (reachable) setText(sub, `Answers in ${duration(latencyMs)}`);
  else setText(sub, sentence ?? `Nothing answers at ${baseUrl}. Start LM Studio's server there.`);
}
