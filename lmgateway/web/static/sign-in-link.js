// Links that sign a browser in. The key is in the fragment, which browsers don't send to servers.

const PREFIX = "#key=";

/** The key of the link that opened this page, or null. */
export const linkedKey = take();

/** The link that signs another device in with this key. */
export const signInLink = (key) => `${new URL("../../dashboard", import.meta.url)}${PREFIX}${encodeURIComponent(key)}`;

// Such a link was opened in a tab that shows the page already.
addEventListener("hashchange", () => location.hash.startsWith(PREFIX) && location.reload());

/** Take the key out of the address bar and the tab's history. The browser's own list of visited pages may keep it. */
function take() {
  if (!location.hash.startsWith(PREFIX)) return null;
  const text = location.hash.slice(PREFIX.length);
  history.replaceState(null, "", location.pathname + location.search);
  try {
    return decodeURIComponent(text).trim();
  } catch {
    // Not percent-encoded, so it is the key itself.
    return text;
  }
}
