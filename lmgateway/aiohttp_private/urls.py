"""URLs that are sent byte for byte."""

from __future__ import annotations

from yarl import URL


def exact_url(origin: str, target: str) -> URL:
    """Return a URL whose path and query are sent unchanged. yarl itself drops the "?" of an empty query."""
    url = URL(origin + target, encoded=True)
    if target.find("?") == len(target) - 1:
        url._cache["raw_path_qs"] = url.raw_path_qs + "?"
    return url
