"""What follows from the configuration for each request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property, lru_cache

from multidict import CIMultiDict, CIMultiDictProxy

from ..access.cors import Cors
from ..access.guard import Guard
from ..config import Config
from ..errors import BadRequest, FaultyFraming, Forbidden
from ..networks import parse_address
from ..traffic.headers import RequestFields

RawFields = tuple[tuple[bytes, bytes], ...]

# A head may be as large as limits.head_bytes.
HEADS = 128
_VERSIONS = ((1, 1), (1, 0))
_SANE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}\Z")
# What tells requests of one client apart, and nothing here asks for.
_LENGTHS = (b"Content-Length", b"content-length")


class Policy:
    """A configuration and the rules made from it. A request keeps the one that it began with."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.cors = Cors(config)
        self.guard = Guard(config)
        self.request_fields = RequestFields(
            holds_key=self.guard.keys.occurs_in, api_token=config.lmstudio.api_token
        )
        # A client sends the same head with each request, and what it means is the same each time.
        self._known = lru_cache(HEADS)(self._head)

    def head(self, peer: str, version: tuple[int, int], fields: RawFields) -> Head:
        """Return what these header fields mean, sent by this peer in this version of HTTP."""
        telling = tuple([field for field in fields if field[0] not in _LENGTHS])
        return self._known(peer, version, telling)

    def _head(self, peer: str, version: tuple[int, int], fields: RawFields) -> Head:
        return Head(self, peer, version, fields)


class Head:
    """A request's header fields but for Content-Length, and what a policy makes of them.

    Each thing is found out when it is first asked for, and what isn't refused only once.
    """

    def __init__(self, policy: Policy, peer: str, version: tuple[int, int], raw_fields: RawFields) -> None:
        self._policy = policy
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
        return str(self._policy.guard.admit_address(parse_address(self._peer), self.fields))

    @cached_property
    def request_id(self) -> str | None:
        """The id that the client gave to its request, if one may write it into a log."""
        sent = self.fields.get("X-Request-Id", "")
        is_sane = _SANE_ID.match(sent) and not self._policy.guard.keys.occurs_in(sent)
        return sent if is_sane else None

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
            self._policy.guard.admit_host(host)
        return True

    def require_key(self) -> None:
        """Raise Unauthorized unless the head carries the key, or none is needed."""
        _ = self._has_key  # cached for its effect, too

    @cached_property
    def _has_key(self) -> bool:
        self._policy.guard.admit_key(self.fields)
        return True

    @cached_property
    def asks_for_another_protocol(self) -> bool:
        """True for an Upgrade to anything but a websocket: aiohttp drops what arrives behind it."""
        return self.fields.get("Upgrade", "websocket").lower() != "websocket"

    def cors_fields(self, *, proxied: bool) -> Mapping[str, str]:
        """Return what the answer says about who may read it."""
        return self._policy.cors.response_headers(self.fields.get("Origin"), proxied=proxied)

    def for_upstream(self) -> CIMultiDict[str]:
        """Return the fields that go to LM Studio. Raises BadRequest, LoopDetected."""
        return self._for_upstream.copy()

    @cached_property
    def _for_upstream(self) -> CIMultiDict[str]:
        version = "1.1" if self._version >= (1, 1) else "1.0"
        return self._policy.request_fields.forward(self.fields, version=version)


def _decode(field: bytes) -> str:
    """As aiohttp does."""
    return field.decode("utf-8", "surrogateescape")


class Policies:
    """The owner of the policy in force, which a reload replaces."""

    def __init__(self, config: Config) -> None:
        self.current = Policy(config)

    def replace(self, config: Config) -> None:
        self.current = Policy(config)
