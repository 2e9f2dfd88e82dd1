// The key of this browser: stored for the tab, or for the device if the user asked for that.

const NAME = "lmgateway.key";

export const key = {
  /** The key, or null. */
  get: () => sessionStorage.getItem(NAME) ?? localStorage.getItem(NAME),

  /** True if the key outlives the tab. */
  isRemembered: () => sessionStorage.getItem(NAME) === null && localStorage.getItem(NAME) !== null,

  /** Store another key. By default it lasts as long as the one before. One for the tab leaves the device's alone. */
  keep(text, isForDevice = key.isRemembered()) {
    if (isForDevice) key.forget();
    (isForDevice ? localStorage : sessionStorage).setItem(NAME, text);
  },

  /** Remove the key in use. If that was the tab's, the device may remember another one. */
  drop() {
    (key.isRemembered() ? localStorage : sessionStorage).removeItem(NAME);
  },

  forget() {
    sessionStorage.removeItem(NAME);
    localStorage.removeItem(NAME);
  },
};
