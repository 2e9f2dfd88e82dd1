"""The configuration in force, the rules made from it, and what they make of a request's head."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property, lru_cache

from multidict import CIMultiDict, CIMultiDictProxy

from ..access.callers import Callers
from ..access.cors import Cors
from ..access.credentials import Credential, Redaction, presented
from ..access.guard import Guard
from ..config import Config
from ..errors import BadRequest, FaultyFraming, Forbidden
from ..models.profiles import profiles_of
from ..networks import parse_address
from ..traffic.content_coding import coding_of
from ..traffic.headers import RequestFields

RawFields = tuple[tuple[bytes, bytes], ...]

# A head may be as large as limits.head_bytes.
HEADS = 128
_VERSIONS = ((1, 1), (1, 0))
_SANE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}\Z")
# What tells requests of one client apart, and nothing here asks for.
_LENGTHS = (b"Content-Length", b"content-length")


class Ruleset:
    """A configuration and the rules made from it. A request keeps the one that it began with."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.profiles = profiles_of(config.models)
        self.cors = Cors(config)
        self.guard = Guard(config)
        self.callers = Callers(config)
        self.health_is_open = not config.auth.require_for_health
        self.request_fields = RequestFields()
        # A client sends the same head with each request, and what it means is the same each time.
        self._known = lru_cache(HEADS)(self._head)

    def head(self, peer: str, version: tuple[int, int], fields: RawFields) -> RequestHead:
        """Return what these header fields mean, sent by this peer in this version of HTTP."""
        telling = tuple([field for field in fields if field[0] not in _LENGTHS])
        return self._known(peer, version, telling)

    def _head(self, peer: str, version: tuple[int, int], fields: RawFields) -> RequestHead:
        return RequestHead(self, peer, version, fields)


class RequestHead:
    """A request's header fields but for Content-Length, and what the rules make of them.

    Each part is computed when it is first asked for, and unless it raises, only once. Which caller has the
    credential isn't part of it: keys change while a head is remembered.
    """

    def __init__(self, rules: Ruleset, peer: str, version: tuple[int, int], raw_fields: RawFields) -> None:
        self._rules = rules
        self._peer = peer
        self._version = version
        self.fields = CIMultiDictProxy(
            CIMultiDict([(_decode(name), _decode(value)) for name, value in raw_fields])
        )

    @cached_property
    def client(self) -> str:
        """The client's address behind trusted proxies. Raises Forbidden if it may not come in."""
        if not self._peer:
            raise Forbidden("Forbidden: the connection has no address.")
        return str(self._rules.guard.admit_address(parse_address(self._peer), self.fields))

    @cached_property
    def credential(self) -> Credential:
        return presented(self.fields)

    @cached_property
    def redaction(self) -> Redaction:
        """What hides the keys of this request."""
        return self._rules.callers.redaction(self.credential)

    @cached_property
    def request_id(self) -> str | None:
        """The id that the client gave to its request, if one may write it into a log."""
        sent = self.fields.get("X-Request-Id", "")
        return sent if _SANE_ID.match(sent) and not self.redaction.holds_key(sent) else None

    def check_framing(self) -> None:
        """Raise BadRequest for what another server may read otherwise, Misdirected for a wrong Host."""
        # Cached for its effect: what passed isn't judged again, and what raises isn't kept.
        _ = self._framing_is_checked

    @cached_property
    def _framing_is_checked(self) -> bool:
        if self._version not in _VERSIONS:
            raise BadRequest("HTTP/1.1 and HTTP/1.0 are understood here.")
        hosts = self.fields.getall("Host", ())
        if len(hosts) != 1 and (hosts or self._version >= (1, 1)):
            raise BadRequest("A request has exactly one Host header (RFC 9112 section 3.2).")
        codings = self.fields.getall("Transfer-Encoding", ("chunked",))
        if [coding.strip().lower() for coding in codings] != ["chunked"]:
            raise FaultyFraming("The only transfer coding that is understood here is chunked.")
        if self._version < (1, 1) and "Transfer-Encoding" in self.fields:  # RFC 9112 section 6.1
            raise FaultyFraming("A request in HTTP/1.0 has no transfer coding; send a Content-Length.")
        for host in hosts:  # none in HTTP/1.0, which no browser speaks
            self._rules.guard.admit_host(host)
        return True

    @cached_property
    def asks_for_another_protocol(self) -> bool:
        """True for an Upgrade to anything but a websocket: aiohttp drops what arrives behind it."""
        return self.fields.get("Upgrade", "websocket").lower() != "websocket"

    def cors_fields(self, *, proxied: bool) -> Mapping[str, str]:
        """Return what the answer says about who may read it."""
        return self._rules.cors.response_headers(self.fields.get("Origin"), proxied=proxied)

    @cached_property
    def content_coding(self) -> str | None:
        """The coding of the body, if it has one. Raises UnsupportedMediaType if it can't be decoded."""
        return coding_of(self.fields.getall("Content-Encoding", ()))

    def for_upstream(self) -> CIMultiDict[str]:
        """Return the fields that go to LM Studio. Raises BadRequest, LoopDetected."""
        return self._for_upstream.copy()

    @cached_property
    def _for_upstream(self) -> CIMultiDict[str]:
        return self._rules.request_fields.forward(
            self.fields,
            holds_key=self.redaction.holds_known_key,
            version="1.1" if self._version >= (1, 1) else "1.0",
        )


def _decode(field: bytes) -> str:
    """As aiohttp does."""
    return field.decode("utf-8", "surrogateescape")


class RulesInForce:
    """The owner of the rules that new requests are judged by; a reload replaces them."""

    def __init__(self, config: Config) -> None:
        self.current = Ruleset(config)

    def replace(self, config: Config) -> None:
        self.current = Ruleset(config)
