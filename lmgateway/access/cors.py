"""Which web pages may read the gateway's answers, and which may change something.

Fetch standard, section 3.2 (CORS protocol); Private Network Access for pages on public addresses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..config import Config
from ..errors import Forbidden

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

_EVERYBODY = "*"
_PREFLIGHT_SECONDS = "600"


class Cors:
    """The configured origins, and what follows from them for each part of the gateway."""

    def __init__(self, config: Config) -> None:
        listed = config.cors.origins
        self._by_name = frozenset(listed or ()) - {_EVERYBODY}
        self._open = _EVERYBODY in listed if listed is not None else bool(config.auth.api_key)

    def response_headers(self, origin: str | None, *, proxied: bool) -> Mapping[str, str]:
        """Return the fields that let a page of this origin read the answer; none if it may not.

        Never with credentials: a key is sent by the page that has it, not by the browser on its own.
        """
        if proxied and self._open:
            return {"Access-Control-Allow-Origin": _EVERYBODY, "Access-Control-Expose-Headers": _EVERYBODY}
        if origin is None or origin not in self._by_name:
            return {"Vary": "Origin"} if self._by_name else {}
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
        host = headers.get("Host", "").lower()
        own = {f"{scheme}://{host}" for scheme in ("http", "https") if host}
        is_foreign = not own.issuperset(origins) or headers.get("Sec-Fetch-Site") == "cross-site"
        is_listed = bool(origins) and self._by_name.issuperset(origins)
        if is_foreign and not is_listed:
            raise Forbidden(
                "Forbidden: a page of another origin may not do this.",
                details="A page of another origin may not do this; cors.origins lists the ones that may.",
            )


def is_preflight(method: str, headers: CIMultiDictProxy[str]) -> bool:
    """Tell whether a browser asks beforehand what a page may do."""
    return method == "OPTIONS" and "Origin" in headers and "Access-Control-Request-Method" in headers
