// Repeating an action while the page is visible.

/**
 * Run the action now, periodically while the page is visible, and when it becomes visible again. While `isNeeded` is
 * true, a hidden page does so too. Returns a function that runs it at once.
 */
export function whileVisible(seconds, action, isNeeded = () => false) {
  let timer = 0;
  const turn = async () => {
    clearTimeout(timer);
    if (document.hidden && !isNeeded()) return;
    await action();
    clearTimeout(timer);
    timer = setTimeout(turn, seconds * 1000);
  };
  document.addEventListener("visibilitychange", turn);
  turn();
  return turn;
}

/** As whileVisible, if a view is shown. Returns a function that runs the action soon, if the view is shown. */
export function whileShown(seconds, isShown, action) {
  const refresh = soon(100, action);
  const refreshIfShown = () => {
    if (isShown()) refresh();
  };
  whileVisible(seconds, refreshIfShown);
  return refreshIfShown;
}

/** Debounce: returns a function that runs the action soon, never twice at a time, and again if called meanwhile. */
export function soon(milliseconds, action) {
  let timer = 0;
  let isRunning = false;
  let isRequested = false;
  const run = async () => {
    timer = 0;
    isRunning = true;
    isRequested = false;
    try {
      await action();
    } finally {
      isRunning = false;
      if (isRequested) schedule();
    }
  };
  const schedule = () => {
    if (isRunning) isRequested = true;
    else if (timer === 0) timer = setTimeout(run, milliseconds);
  };
  return schedule;
}
