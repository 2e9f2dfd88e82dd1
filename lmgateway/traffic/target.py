"""Validates a request target and turns it into LM Studio's.

The validation decodes the path fully, as an upstream might. The target is forwarded byte for byte, except
that a doubled slash or /v1, which base URLs cause, becomes a single one. RFC 9112 section 3.2 defines the
forms of a target.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from msgspec import Struct

from ..caching import cached_for_short
from ..errors import BadRequest, NotFound

SHORT_PATHS = (
    "/chat/completions",
    "/completions",
    "/models",
    "/embeddings",
    "/responses",
    "/messages",
    "/images/generations",
    "/audio/transcriptions",
    "/audio/translations",
)
# For the routes: every forwarded path begins with one of these.
PROXIED_PREFIXES = ("/v1", "/api/v0", "/api/v1", *SHORT_PATHS)

_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_SHORT = re.compile(f"({'|'.join(SHORT_PATHS)})(?=/|\\Z)")
# A router that follows the URL standard treats a backslash as a slash.
_SEPARATORS = re.compile(r"[/\\]+")
_SLASHES = re.compile(r"/{2,}")
_DOUBLED_VERSION = re.compile(r"(?:/v1){2,}(?=/|\Z)")
_MAX_DECODINGS = 4
_OF_A_MODEL = re.compile(r"(?:/v1|/api/v[01])/models/(.+)", re.IGNORECASE | re.DOTALL)
_RESERVED = re.compile(r"/v1/(admin|debug|health)(/|\Z)")


class Target(Struct, frozen=True):
    """A request target for LM Studio.

    `raw` is path and query byte for byte, without a doubled slash or /v1. `path` is for look-ups: decoded, in
    lower case and with single slashes, because LM Studio's router ignores case and a trailing slash.
    """

    raw: str
    path: str


@cached_for_short
def parse(raw: str) -> Target:
    """Return the Target for the request target `raw`. Raises BadRequest, NotFound."""
    if not raw.startswith("/"):
        raw = _origin_form(raw)
    path, mark, query = raw.partition("?")
    meaning = _decode(path)
    if "#" in raw or any(segment in {".", ".."} for segment in _SEPARATORS.split(meaning)):
        raise BadRequest("The request path has dot segments or a fragment; send the path that you mean.")
    path = _SLASHES.sub("/", path)
    meaning = _SEPARATORS.sub("/", meaning.lower()).rstrip("/")
    if _SHORT.match(path):
        path, meaning = f"/v1{path}", f"/v1{meaning}"
    path, meaning = (_once(text) for text in (path, meaning))
    if not path.startswith(("/v1/", "/api/v0/", "/api/v1/")) or _RESERVED.match(meaning):
        raise NotFound("There is nothing here; LM Studio's APIs are below /v1, /api/v0 and /api/v1.")
    return Target(f"{path}{mark}{query}", meaning)


def model_in(target: Target) -> str | None:
    """Return the model that a path such as `/v1/models/{model}` names, "" if it is encoded more than once.

    None for any other path.
    """
    if _OF_A_MODEL.match(target.path) is None:
        return None
    path = target.raw.partition("?")[0]
    decoded = unquote(path)
    named = _OF_A_MODEL.match(decoded.rstrip("/"))
    return named[1] if named is not None and _decode(path) == decoded else ""


def _once(path: str) -> str:
    """Remove the second /v1: a client with a base URL that ends in /v1 doubles it."""
    doubled = _DOUBLED_VERSION.match(path)
    return path if doubled is None else f"/v1{path[doubled.end() :]}"


def _origin_form(raw: str) -> str:
    """Return path and query of an absolute-form target. Its host is ignored."""
    authority = _AUTHORITY.match(raw)
    if authority is None:
        raise BadRequest("The request target is neither a path nor a URL.")
    rest = raw[authority.end() :]
    return rest if rest.startswith("/") else f"/{rest}"


def _decode(path: str) -> str:
    """Decode repeatedly, so that no percent-encoding hides a dot segment. Raises BadRequest."""
    for _ in range(_MAX_DECODINGS):
        decoded = unquote(path)
        if decoded == path:
            return path
        path = decoded
    raise BadRequest("The request path is percent-encoded again and again; encode it once.")
