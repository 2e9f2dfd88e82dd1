// The key of this browser: stored for the tab, or for the device if the user asked for that.

const NAME = "lmgateway.key";

export const key = {
  /** The key, or null. */
  get: () => sessionStorage.getItem(NAME) ?? localStorage.getItem(NAME),

  /** True if the key outlives the tab. */
  isRemembered: () => localStorage.getItem(NAME) !== null,

  /** Store another key. By default it lasts as long as the one before. */
  keep(text, isForDevice = key.isRemembered()) {
    key.forget();
    (isForDevice ? localStorage : sessionStorage).setItem(NAME, text);
  },

  forget() {
    sessionStorage.removeItem(NAME);
    localStorage.removeItem(NAME);
  },
};
