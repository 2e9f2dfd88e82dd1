"""Which web pages may read the gateway's responses, and which may change something.

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
_DEFAULT_PORTS = (("http", ":80"), ("https", ":443"))
_REFUSED = "A page of another origin may not do this. "
_HOW_TO_ALLOW = (
    "To allow the page, add its origin to cors.origins. If this is the gateway's own page behind a reverse "
    "proxy, the proxy must forward the browser's Host (nginx: proxy_set_header Host $http_host)."
)
_FOREIGN_PAGE = f"{_REFUSED}{_HOW_TO_ALLOW}"
_KEYLESS_PAGE = (
    "A page of another origin may not use a gateway without a key, because it would use its visitor's "
    f"address. The page must send a key: auth.api_key, or a named one. {_HOW_TO_ALLOW}"
)


class PageRefused(Forbidden):
    """A web page of another origin may not use this path."""

    code = "page_refused"


class Cors:
    """The configured origins. `proxied` is true for LM Studio's paths, false for the gateway's own."""

    def __init__(self, config: Config, *, needs_key: bool) -> None:
        listed = config.cors.origins
        names = frozenset(listed or ()) - {_EVERYBODY}
        # Such as chrome-extension://*, which lists all of a browser's extensions.
        self._extensions = tuple(name.removesuffix("*") for name in names if name.endswith("*"))
        self._listed = frozenset(name for name in names if not name.endswith("*"))
        # A listed * opens the proxied paths to requests without a key too; the default doesn't.
        self._open_without_key = listed is not None and _EVERYBODY in listed
        self._open = _EVERYBODY in listed if listed is not None else needs_key

    def response_headers(self, origin: str | None, *, proxied: bool) -> Mapping[str, str]:
        """Return the fields that let a page of this origin read the response; none if it may not.

        They never allow credentials, because a page sends the key itself.
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
        """Return the additional fields of a response to a preflight."""
        if "Access-Control-Allow-Origin" not in self.response_headers(headers["Origin"], proxied=proxied):
            return {}
        granted = {
            "Access-Control-Allow-Methods": headers["Access-Control-Request-Method"],
            "Access-Control-Max-Age": _PREFLIGHT_SECONDS,
        }
        if names := headers.get("Access-Control-Request-Headers"):
            granted["Access-Control-Allow-Headers"] = names
        if headers.get("Access-Control-Request-Private-Network") == "true":
            granted["Access-Control-Allow-Private-Network"] = "true"
        return granted

    def admit_origin(self, headers: CIMultiDictProxy[str], *, proxied: bool, with_key: bool) -> None:
        """Raise PageRefused for a request by another site's page, unless its origin is listed.

        Browsers send simple requests without a preflight, and they do harm even if the page can't read the
        response. On proxied paths only a request without a key is checked: a page that sends one has it.
        """
        if proxied and (with_key or self._open_without_key):
            return
        origins = headers.getall("Origin", ())
        if not self._is_foreign(origins, headers, with_key=with_key):
            return
        if not (origins and all(self._lists(origin, proxied=proxied) for origin in origins)):
            sentence = _KEYLESS_PAGE if proxied else _FOREIGN_PAGE
            raise PageRefused(f"Forbidden: {sentence}", details=sentence)

    def _is_foreign(self, origins: Sequence[str], headers: CIMultiDictProxy[str], *, with_key: bool) -> bool:
        sites = headers.getall("Sec-Fetch-Site", ())
        if "cross-site" in sites:
            return True
        # A page can't forge Sec-Fetch-Site, and a proxy may have replaced Host. Without a key only Host
        # counts: a page that points its own name here (DNS rebinding) is same-origin too.
        if with_key and list(sites) == ["same-origin"]:
            return False
        host = headers.get("Host", "").lower()
        # A proxy may add the port that browsers leave out (nginx: $host:$server_port).
        own = {
            f"{scheme}://{name}"
            for scheme, port in _DEFAULT_PORTS
            for name in (host, host.removesuffix(port))
            if name
        }
        return not own.issuperset(origins)

    def _lists(self, origin: str, *, proxied: bool) -> bool:
        """True if cors.origins lists this origin. For the gateway's own paths, patterns and null don't count.

        Any page can give itself the origin null, by a sandbox.
        """
        if proxied:
            return origin in self._listed or origin.startswith(self._extensions)
        return origin in self._listed and origin != _SANDBOXED


def is_preflight(method: str, headers: CIMultiDictProxy[str]) -> bool:
    """True for a CORS preflight request."""
    return method == "OPTIONS" and "Origin" in headers and "Access-Control-Request-Method" in headers
