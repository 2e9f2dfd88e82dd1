// Doing things now and then, while somebody looks.

/**
 * Do it now, every so many seconds while the page is visible, and at once when it becomes visible again.
 * Returns a function that does it at once.
 */
export function whileVisible(seconds, action) {
  let timer = 0;
  const turn = async () => {
    clearTimeout(timer);
    if (document.hidden) return;
    await action();
    clearTimeout(timer);
    timer = setTimeout(turn, seconds * 1000);
  };
  document.addEventListener("visibilitychange", turn);
  turn();
  return turn;
}

/** Returns a function that does it soon; called often, it still does it once at a time, and once more after. */
export function soon(milliseconds, action) {
  let timer = 0;
  let isRunning = false;
  let isWanted = false;
  const run = async () => {
    timer = 0;
    isRunning = true;
    isWanted = false;
    try {
      await action();
    } finally {
      isRunning = false;
      if (isWanted) ask();
    }
  };
  const ask = () => {
    if (isRunning) isWanted = true;
    else if (timer === 0) timer = setTimeout(run, milliseconds);
  };
  return ask;
}
