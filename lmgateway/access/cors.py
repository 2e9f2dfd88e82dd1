"""Which web pages may read the gateway's answers, and which may change something.

Fetch standard, section 3.2 (CORS protocol); Private Network Access for pages on public addresses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..config import Config
from ..errors import Forbidden

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

_EVERYBODY = "*"
_SANDBOXED = "null"
_PREFLIGHT_SECONDS = "600"
_FOREIGN_PAGE = (
    "A page of another origin may not do this; cors.origins lists the ones that may. If this is the "
    "gateway's own page behind a reverse proxy, the proxy must pass on Host as the browser sent it (nginx: "
    "proxy_set_header Host $http_host)."
)


class Cors:
    """The configured origins, and what follows from them for each part of the gateway."""

    def __init__(self, config: Config) -> None:
        self._needs_key = bool(config.auth.api_key)
        listed = config.cors.origins
        names = frozenset(listed or ()) - {_EVERYBODY}
        # All extensions of a browser.
        self._extensions = tuple(name.removesuffix("*") for name in names if name.endswith("*"))
        self._listed = frozenset(name for name in names if not name.endswith("*"))
        self._open = _EVERYBODY in listed if listed is not None else self._needs_key

    def response_headers(self, origin: str | None, *, proxied: bool) -> Mapping[str, str]:
        """Return the fields that let a page of this origin read the answer; none if it may not.

        Never with credentials: a key is sent by the page that has it, not by the browser on its own.
        """
        if proxied and self._open:
            return {"Access-Control-Allow-Origin": _EVERYBODY, "Access-Control-Expose-Headers": _EVERYBODY}
        if origin is None or not self._lists(origin, proxied=proxied):
            return {"Vary": "Origin"} if self._listed or self._extensions else {}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": _EVERYBODY,
            "Vary": "Origin",
        }

    def preflight_headers(self, headers: CIMultiDictProxy[str], *, proxied: bool) -> Mapping[str, str]:
        """Return what a preflight is answered with, beside the fields of any answer."""
        if "Access-Control-Allow-Origin" not in self.response_headers(headers["Origin"], proxied=proxied):
            return {}
        granted = {
            "Access-Control-Allow-Methods": headers["Access-Control-Request-Method"],
            "Access-Control-Max-Age": _PREFLIGHT_SECONDS,
        }
        if wanted := headers.get("Access-Control-Request-Headers"):
            granted["Access-Control-Allow-Headers"] = wanted
        if headers.get("Access-Control-Request-Private-Network") == "true":
            granted["Access-Control-Allow-Private-Network"] = "true"
        return granted

    def admit_origin(self, headers: CIMultiDictProxy[str]) -> None:
        """Raise Forbidden if another site's page asks, unless its origin is listed by name.

        A browser sends many requests without asking first, and a page needn't see the answer to do harm.
        """
        origins = headers.getall("Origin", ())
        is_listed = bool(origins) and all(self._lists(origin, proxied=False) for origin in origins)
        if self._is_foreign(origins, headers) and not is_listed:
            raise Forbidden("Forbidden: a page of another origin may not do this.", details=_FOREIGN_PAGE)

    def _is_foreign(self, origins: Sequence[str], headers: CIMultiDictProxy[str]) -> bool:
        sites = headers.getall("Sec-Fetch-Site", ())
        if "cross-site" in sites:
            return True
        # A browser says so itself, and no page can; a proxy may have replaced Host. Without a key Host
        # decides: a page may have pointed its own name here (DNS rebinding), and that is same-origin too.
        if self._needs_key and list(sites) == ["same-origin"]:
            return False
        host = headers.get("Host", "").lower()
        own = {f"{scheme}://{host}" for scheme in ("http", "https") if host}
        return not own.issuperset(origins)

    def _lists(self, origin: str, *, proxied: bool) -> bool:
        """True if cors.origins lists this origin; for paths that aren't proxied, by its own name.

        Any page can make itself a sandboxed one, whose origin is null.
        """
        if proxied:
            return origin in self._listed or origin.startswith(self._extensions)
        return origin in self._listed and origin != _SANDBOXED


def is_preflight(method: str, headers: CIMultiDictProxy[str]) -> bool:
    """Tell whether a browser asks beforehand what a page may do."""
    return method == "OPTIONS" and "Origin" in headers and "Access-Control-Request-Method" in headers
