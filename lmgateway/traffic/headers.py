"""Which header fields the gateway forwards, in each direction. RFC 9110 sections 7.6.1 to 7.6.3."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import compress
from operator import itemgetter

from multidict import CIMultiDict, CIMultiDictProxy

from ..errors import BadRequest, LoopDetected, UpstreamBroke
from ..text import clean_name

EVENT_STREAM, JSON = "text/event-stream", "application/json"
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_KEEP_ALIVE = ["keep-alive"]
_NAME = itemgetter(0)
_VALUE = itemgetter(1)
# Fields that a client can't have removed by naming them in Connection.
_VITAL = frozenset({"authorization", "content-length", "content-type", "content-encoding"})
# Host is set to LM Studio's, the gateway itself sends 100 Continue, and the client's address isn't forwarded.
_NOT_FORWARDED = _HOP_BY_HOP | {
    "host",
    "expect",
    "x-api-key",
    "forwarded",
    "x-real-ip",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-server",
}
# The gateway sets the request id and the CORS fields itself.
_CORS = "access-control-"
_NOT_RETURNED = _HOP_BY_HOP | {"x-request-id", _CORS}
# RFC 9110 section 5.6.2
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
# Browsers and Node send Latin-1 (obs-text in RFC 9110 section 5.5). aiohttp decodes a byte that isn't UTF-8
# to a surrogate, and drops that surrogate when it writes the value.
_OBS_TEXT = re.compile("[\ud800-\udfff]")
_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f]")
# Of a Connection field whose names are cached: a long one takes a megabyte.
MAX_CACHED_CHARACTERS = 256
_UNSENDABLE = re.compile(f"{_CONTROLS.pattern}|{_OBS_TEXT.pattern}")


class RequestFields:
    """Turns a client's header fields into LM Studio's."""

    def __init__(self) -> None:
        # The random part tells two gateways in a chain from a loop.
        self._name = f"lmgateway-{secrets.token_hex(4)}"

    def forward(
        self, headers: CIMultiDictProxy[str], *, holds_key: Callable[[str], bool], version: str = "1.1"
    ) -> CIMultiDict[str]:
        """Return the fields for LM Studio, repeated ones in order; `version` is the client's HTTP version.

        Host is the first one (RFC 9110 section 7.2), and empty: it depends on the box. A field is dropped if
        `holds_key` is true for `name: value`, or if the value isn't UTF-8. Raises BadRequest, LoopDetected.
        """
        dropped = _with_named_in_connection(_NOT_FORWARDED, headers)
        fields: CIMultiDict[str] = CIMultiDict({"Host": ""})
        spelled: dict[str, str] = {}
        for name, value in headers.items():
            lower = name.lower()
            if lower in dropped or holds_key(f"{name}: {value}"):
                continue
            if _CONTROLS.search(value):
                raise BadRequest(f"The header {clean_name(name)} holds control characters.")
            if lower == "via" and self._name in value:
                raise LoopDetected(
                    "lmstudio.base_url leads back to this gateway; set it to LM Studio's address."
                )
            if _OBS_TEXT.search(value):
                continue
            # aiohttp's client drops a repeated field whose name is spelled differently.
            fields.add(spelled.setdefault(lower, name), value)
        fields.add(spelled.get("via", "Via"), f"{version} {self._name}")
        return fields


def response_fields(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """Return the fields for the client from LM Studio's, repeated ones in order.

    Values that aiohttp can't write (control characters, bytes that are not UTF-8) are left out. Raises
    UpstreamBroke for a malformed name, because it may be a disguised Content-Length or Transfer-Encoding.
    """
    dropped = _with_named_in_connection(_NOT_RETURNED, headers)
    every = list(headers.items())
    # Iterating over the fields themselves yields a repeated name only once.
    fields = list(compress(every, _returned(tuple(map(_NAME, every)), dropped)))
    # Nearly every value is printable, and then so are all of them together: one check in place of one each.
    if not "".join(map(_VALUE, fields)).isprintable():
        fields = [(name, value) for name, value in fields if _is_writable(value)]
    return CIMultiDict(fields)


@lru_cache(maxsize=64)  # LM Studio sends few combinations of names: 4,000 instructions less
def _returned(names: tuple[str, ...], dropped: frozenset[str]) -> tuple[bool, ...]:
    """Return which of these fields are for the client."""
    return tuple(_lower_name(name) not in dropped for name in names)


def _lower_name(name: str) -> str:
    if not _TOKEN.match(name):
        raise UpstreamBroke("LM Studio sent a header with a malformed name.")
    lower = name.lower()
    return _CORS if lower.startswith(_CORS) else lower


def media_type(headers: Mapping[str, str]) -> str:
    """Return the Content-Type in lower case; it is case-insensitive (RFC 9110 section 8.3.1)."""
    return headers.get("Content-Type", "").lower()


def writable_reason(reason: str) -> str:
    """Return LM Studio's reason phrase, or "" if aiohttp can't write it."""
    return reason if _is_writable(reason) else ""


def _is_writable(text: str) -> bool:
    # The first check takes 90 ns, the search 250 ns.
    return text.isprintable() or _UNSENDABLE.search(text) is None


def _with_named_in_connection(fixed: frozenset[str], headers: CIMultiDictProxy[str]) -> frozenset[str]:
    lines = headers.getall("Connection", ())
    if not lines or lines == _KEEP_ALIVE:  # nearly every head; a hop-by-hop name adds nothing
        return fixed
    if sum(map(len, lines)) > MAX_CACHED_CHARACTERS:
        return _with_named(fixed, lines)
    return _cached_with_named(fixed, tuple(lines))


def _with_named(fixed: frozenset[str], lines: Sequence[str]) -> frozenset[str]:
    names = {name.strip().lower() for line in lines for name in line.split(",")}
    return fixed | (names - _VITAL)


_cached_with_named = lru_cache(maxsize=64)(_with_named)
