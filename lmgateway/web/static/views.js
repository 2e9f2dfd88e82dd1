// The page's views, which the fragment of its URL selects.

import { byId } from "./dom.js";
import { showViewInTitle } from "./title.js";

const LINKS = "#views a";
// Views that have become parts of others, for bookmarks.
const MOVED = { overview: "now", usage: "people", keys: "people" };

export class Views {
  #views = new Map();
  #current = null;

  /** `views` are those that the caller may see: what to do when one is shown, by name. The first is the default. */
  start(views) {
    this.#views = new Map(Object.entries(views));
    for (const link of document.querySelectorAll(LINKS)) link.hidden = !this.#views.has(link.hash.slice(1));
    byId("views").hidden = this.#views.size < 2;
    addEventListener("hashchange", () => this.#show());
    // A link to the content would take the view's place in the URL.
    document.querySelector(".skip").addEventListener("click", (event) => {
      event.preventDefault();
      byId("content").focus();
    });
    const strip = byId("views");
    strip.addEventListener("scroll", () => fadeEnds(strip));
    new ResizeObserver(() => fadeEnds(strip)).observe(strip);
    this.#show();
  }

  isShown(name) {
    return this.#current === name;
  }

  #asked() {
    const asked = location.hash.slice(1);
    const moved = MOVED[asked];
    if (this.#views.has(asked)) return asked;
    if (!this.#views.has(moved)) return this.#views.keys().next().value;
    history.replaceState(null, "", `#${moved}`);
    return moved;
  }

  #show() {
    const before = this.#current;
    this.#current = this.#asked();
    if (this.#current === before) return;
    for (const view of document.querySelectorAll(".view")) view.hidden = view.id !== `view-${this.#current}`;
    for (const link of document.querySelectorAll(LINKS)) {
      const isCurrent = this.isShown(link.hash.slice(1));
      if (isCurrent) {
        showViewInTitle(link.textContent);
        link.setAttribute("aria-current", "page");
        // On a phone the links are a line that scrolls.
        link.scrollIntoView({ block: "nearest", inline: "center" });
      } else link.removeAttribute("aria-current");
    }
    if (before !== null) {
      scrollTo(0, 0);
      (byId(`${this.#current}-title`) ?? byId("content")).focus({ preventScroll: true });
    }
    this.#views.get(this.#current)();
  }
}

// The end behind which there are more links fades out.
function fadeEnds(strip) {
  const { scrollLeft, clientWidth, scrollWidth } = strip;
  strip.classList.toggle("more-before", scrollLeft > 1);
  strip.classList.toggle("more-after", scrollLeft + clientWidth < scrollWidth - 1);
}
