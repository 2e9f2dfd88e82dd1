"""The configuration in force, the rules made from it, and a request's head under these rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache

from multidict import CIMultiDict, CIMultiDictProxy

from ..access.callers import Caller, Callers, Holder
from ..access.cors import Cors
from ..access.credentials import Credential, Redaction, presented
from ..access.guard import Guard, name_in
from ..access.keyring import NO_KEYS, Keyring
from ..boxes.box_set import BoxSet
from ..config import Config
from ..errors import BadRequest, FaultyFraming, Forbidden
from ..models.profiles import profiles_of
from ..networks import Address, parse_address
from ..scheduling.tickets import Group
from ..schema.system import SettingReport
from ..text import clean_path
from ..traffic.content_coding import coding_of
from ..traffic.headers import RequestFields
from .operations.areas import Area

RawFields = tuple[tuple[bytes, bytes], ...]
Settings = Sequence[SettingReport]

# How many heads are cached. Each may be as large as limits.head_bytes.
HEADS = 128
_VERSIONS = ((1, 1), (1, 0))
_SANE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}\Z")
# Left out of the cache's key: it differs between a client's requests, and the rules don't use it.
_LENGTHS = (b"Content-Length", b"content-length")


class Ruleset:
    """The configuration and the keys, the rules made from them, and the boxes that the former describes.

    A request keeps the rules that it began with, so that a reload changes nothing for it.
    """

    def __init__(
        self, config: Config, boxes: BoxSet, ring: Keyring = NO_KEYS, settings: Settings = ()
    ) -> None:
        """`settings` are what may be shown of the configuration."""
        self.config = config
        self.settings = settings
        self.boxes = boxes
        # Where the names of models are looked up.
        self.models = boxes.models
        self.ring = ring
        self.profiles = profiles_of(config.models)
        self.callers = Callers(config, ring)
        self.cors = Cors(config, needs_key=self.callers.needs_key)
        self.guard = Guard(config, needs_key=self.callers.needs_key)
        self.health_is_open = not config.auth.require_for_health
        self.request_fields = RequestFields()
        # Cached, because most clients send the same head with each request.
        self._known: Callable[..., RequestHead] | None = lru_cache(HEADS)(self._head)

    def with_keys(self, ring: Keyring) -> Ruleset:
        return Ruleset(self.config, self.boxes, ring, self.settings)

    def head(self, peer: str, version: tuple[int, int], fields: RawFields) -> RequestHead:
        """Return the head with these header fields, sent by this peer in this version of HTTP."""
        telling = tuple([field for field in fields if field[0] not in _LENGTHS])
        return (self._known or self._head)(peer, version, telling)

    def retire(self) -> None:
        """Drop the cache of heads, which refer to these rules.

        Then the last request under these rules frees them, and their copy of the keys. The garbage collector
        would free them only after hundreds of changes, each of a megabyte with 5,000 keys.
        """
        self._known = None

    def _head(self, peer: str, version: tuple[int, int], fields: RawFields) -> RequestHead:
        return RequestHead(self, peer, version, fields)


class RequestHead:
    """A request's header fields except Content-Length, and what the rules derive from them.

    Each property is computed at its first use, and cached unless it raises. If the keys change, there are new
    rules, with heads of their own.
    """

    def __init__(self, rules: Ruleset, peer: str, version: tuple[int, int], raw_fields: RawFields) -> None:
        self._rules = rules
        self._peer = peer
        self._version = version
        self._admitted_pages: set[tuple[bool, bool]] = set()
        self._path = self._shown_path = ""
        # Of the requests with this head, by what else they differ in.
        self.groups: dict[tuple[object, ...], Group] = {}
        self._area: Area | None = None
        self.fields = CIMultiDictProxy(
            CIMultiDict([(_decode(name), _decode(value)) for name, value in raw_fields])
        )

    @cached_property
    def address(self) -> Address:
        """The client's address behind trusted proxies. Raises Forbidden if it isn't in the allowlist."""
        if not self._peer:
            raise Forbidden("Forbidden: the connection has no address.")
        return self._rules.guard.admit_address(parse_address(self._peer), self.fields)

    @cached_property
    def client(self) -> str:
        """As `address`."""
        return str(self.address)

    @cached_property
    def credential(self) -> Credential:
        return presented(self.fields)

    def caller(self) -> Caller:
        """Return the caller. Not a property: a key may end at any moment. Raises as Callers.identify."""
        return self._rules.callers.identify(self.credential, self.address, self._holder)

    @cached_property
    def _holder(self) -> Holder:
        return self._rules.callers.holder(self.credential)

    def admitted(self, area: Area) -> Caller | None:
        """Return the caller if a request with this head was admitted to these paths, and the key is valid.

        Nearly every head is sent for one area only. Judging it anew would take 3,000 instructions more.
        """
        return self._holder.caller if area is self._area and self._holder.is_valid() else None

    def remember(self, caller: Caller, area: Area) -> None:
        """Have `admitted` return this caller, unless it was recognised by the address."""
        if caller is self._holder.caller:
            self._area = area

    @cached_property
    def redaction(self) -> Redaction:
        """Redacts the keys of this request in a text."""
        return self._rules.callers.redaction(self.credential)

    def shown_path(self, path: str) -> str:
        """Return a request's path as it is recorded, logged and shown. Of one head it is mostly the same."""
        if path != self._path:
            self._path, self._shown_path = path, clean_path(self.redaction.redact(path))
        return self._shown_path

    @cached_property
    def request_id(self) -> str | None:
        """The client's own X-Request-Id, if it is valid and safe to log."""
        sent = self.fields.get("X-Request-Id", "")
        return sent if _SANE_ID.match(sent) and not self.redaction.holds_key(sent) else None

    @cached_property
    def is_background(self) -> bool:
        """True if the request lets interactive ones go first."""
        return self.fields.get("X-Priority", "").strip().lower() == "background"

    def check_framing(self) -> None:
        """Raise BadRequest for framing that servers interpret differently, Misdirected for a wrong Host."""
        # A cached property, so that a head that passed isn't checked again.
        _ = self._framing_is_checked

    @cached_property
    def _framing_is_checked(self) -> bool:
        if self._version not in _VERSIONS:
            raise BadRequest("Only HTTP/1.1 and HTTP/1.0 are supported.")
        hosts = self.fields.getall("Host", ())
        if len(hosts) != 1 and (hosts or self._version >= (1, 1)):
            raise BadRequest("A request has exactly one Host header (RFC 9112 section 3.2).")
        codings = self.fields.getall("Transfer-Encoding", ("chunked",))
        if [coding.strip().lower() for coding in codings] != ["chunked"]:
            raise FaultyFraming("The only supported transfer coding is chunked.")
        if self._version < (1, 1) and "Transfer-Encoding" in self.fields:  # RFC 9112 section 6.1
            raise FaultyFraming("A request in HTTP/1.0 has no transfer coding; send a Content-Length.")
        for host in hosts:  # HTTP/1.0 may have none; no browser uses it
            self._rules.guard.admit_host(host)
        return True

    def admit_page(self, *, proxied: bool, with_key: bool) -> None:
        """Raise PageRefused if another site's page may not send this request to a path of this kind."""
        if (proxied, with_key) not in self._admitted_pages:
            self._rules.cors.admit_origin(self.fields, proxied=proxied, with_key=with_key)
            self._admitted_pages.add((proxied, with_key))

    def admit_without_key(self) -> None:
        """Raise Misdirected for a host name that may be another site's."""
        for host in self.fields.getall("Host", ()):
            self._rules.guard.admit_local_host(name_in(host))

    def admit_first_key(self, caller: Caller) -> None:
        """Raise Forbidden if a key is to be made by anybody, and not from this machine."""
        if caller.is_anonymous:
            self._rules.guard.admit_first_key(parse_address(self._peer), self.fields)

    @cached_property
    def asks_for_another_protocol(self) -> bool:
        """True for an Upgrade to anything but a websocket: aiohttp drops the input after it."""
        return self.fields.get("Upgrade", "websocket").lower() != "websocket"

    def cors_fields(self, *, proxied: bool) -> Mapping[str, str]:
        """Return the CORS header fields of a response to a request for a path of this kind."""
        return self._cors_of_lm_studio if proxied else self._cors_of_gateway

    @cached_property
    def _cors_of_lm_studio(self) -> Mapping[str, str]:
        return self._rules.cors.response_headers(self.fields.get("Origin"), proxied=True)

    @cached_property
    def _cors_of_gateway(self) -> Mapping[str, str]:
        return self._rules.cors.response_headers(self.fields.get("Origin"), proxied=False)

    @cached_property
    def content_coding(self) -> str | None:
        """The coding of the body, if it has one. Raises UnsupportedMediaType if it can't be decoded."""
        return coding_of(self.fields.getall("Content-Encoding", ()))

    def for_upstream(self) -> CIMultiDict[str]:
        """Return the fields to forward to LM Studio. Raises BadRequest, LoopDetected."""
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
