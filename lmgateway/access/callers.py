"""The caller of a request, and the caller's rights."""

from __future__ import annotations

import hmac
from functools import cached_property
from math import inf
from typing import NamedTuple

from msgspec import Struct

from ..config import Config
from ..errors import KeysUnreadable, ScopeMissing, Unauthorized
from ..networks import Address
from ..observe.clock import unix_time
from ..schema.keys import SCOPES, Priority, Scope
from ..schema.models import DefaultInference
from .credentials import Credential, Redaction, digest, spellings
from .globs import EVERY_MODEL, Globs
from .keyring import NO_KEYS, Keyring, NamedKey
from .secrets import id_of

_WHERE_FROM = (
    "The gateway's owner makes keys with `lmgateway keys add NAME`; the owner's own is auth.api_key "
    "(GATEWAY_API_KEY) in the gateway's configuration."
)
HOW_TO_SEND = f"send a key as 'Authorization: Bearer <key>' or as 'X-API-Key: <key>'. {_WHERE_FROM}"
_WRONG_KEY = f"the key is wrong, was revoked, or has expired. {_WHERE_FROM}"
_TWO_KEYS = "the request has two key headers with different values. Send one."
_ENDED = "the request's key was revoked or rotated, or has expired."
_UNREADABLE = (
    "The gateway's keys can't be read, so only its owner's key (auth.api_key) is accepted. The gateway's log "
    "says why, and its owner can restore a copy of the database, or make new keys."
)


class Caller(Struct, frozen=True, kw_only=True, dict=True):
    """A client's identity and rights.

    `user_header` is the header field in which the key's app names its user.
    `secret_id` is the id of the secret that was sent; None for a caller who sent none of a named key.
    `is_named`: a named key's caller. `sent_key`: the request had a key, so no other site's page can have made
    it.
    """

    name: str
    scopes: frozenset[Scope]
    models: Globs = EVERY_MODEL
    model: str | None = None
    default_inference: DefaultInference | None = None
    secret_id: str | None = None
    priority: Priority = "interactive"
    user_header: str | None = None
    is_named: bool = False
    sent_key: bool = False

    @cached_property
    def may_run_tools(self) -> bool:
        """True if the caller has the scope tools. Cached: each request to a model asks it."""
        return self.has("tools")

    @property
    def is_anonymous(self) -> bool:
        """True if neither a key nor an address identifies the caller."""
        return not (self.is_named or self.sent_key)

    def has(self, scope: Scope) -> bool:
        """True if the caller has this scope. `admin` includes all."""
        return scope in self.scopes or "admin" in self.scopes

    def require(self, scope: Scope) -> None:
        """Raise ScopeMissing, which names the scope, if the caller lacks it."""
        if not self.has(scope):
            raise lacks(self.name, scope)


def lacks(name: str, scope: Scope) -> ScopeMissing:
    sentence = f"The key {name} lacks the scope {scope}, which this request needs."
    return ScopeMissing(f"Forbidden: {sentence}", details=sentence)


OWNER = Caller(name="owner", scopes=SCOPES, sent_key=True)
ANYONE = Caller(name="anyone", scopes=SCOPES)


class Holder(NamedTuple):
    """The caller whose key a credential is, and until when it is valid: the past if it is nobody's."""

    caller: Caller
    ends: float

    def is_valid(self) -> bool:
        return unix_time() < self.ends


class Callers:
    """The known callers: the owner of the configured key, the named keys or, without any key, anyone."""

    def __init__(self, config: Config, ring: Keyring = NO_KEYS) -> None:
        owner_key = config.auth.api_key
        self._ring = ring
        self._owner_digest = digest(owner_key)
        self._owner_id = id_of(owner_key)
        self._owner_spellings = spellings(owner_key)
        self.has_owner = bool(owner_key)
        self.needs_key = self.has_owner or ring.is_configured
        # Expired keys count, and `anyone` if no key is configured.
        self.are_several = self.has_owner + len(ring.keys) > 1
        # By name, and by the id of the secret that was sent.
        self._named: dict[tuple[str, str | None], Caller] = {}

    def identify(self, credential: Credential, client: Address, holder: Holder | None = None) -> Caller:
        """Return the caller with this credential, or at this address. Raises Unauthorized, KeysUnreadable.

        The result must not be cached: a key may end at any moment. `holder` may be: that of the credential.
        """
        holder = holder or self.holder(credential)
        if holder.is_valid():
            return holder.caller
        if credential.is_contradictory:
            raise Unauthorized(_TWO_KEYS)
        if not credential.key and (at_address := self._ring.at_address(client, unix_time())) is not None:
            return self._caller(at_address)
        if not self._ring.is_readable:
            raise KeysUnreadable(_UNREADABLE, headers={"Retry-After": "30"})
        raise Unauthorized(_WRONG_KEY if credential.key else HOW_TO_SEND)

    def holder(self, credential: Credential) -> Holder:
        """Return whose key this is. It may be cached, unlike the caller, while these keys are in force."""
        if not self.needs_key:
            return Holder(ANYONE, inf)
        if credential.is_contradictory or not credential.key:
            return Holder(ANYONE, -inf)
        # One comparison, with the only secret that it can be. Digests have one length, so the comparison's
        # time doesn't reveal the key's.
        secret_id = id_of(credential.key)
        named = None if secret_id is None else self._ring.secrets.get(secret_id)
        # Two if auth.api_key has a named key's id, which only somebody who set it so can bring about.
        is_owner = (named is None or secret_id == self._owner_id) and self._is_owner(credential)
        if is_owner:
            return Holder(OWNER, inf)
        if named is None or not _equal(credential.digest, named[1].digest):
            return Holder(ANYONE, -inf)
        key, secret = named
        ends = [end for end in (key.expires, secret.until) if end is not None]
        return Holder(self._caller(key, secret.id), min(ends, default=inf))

    def _is_owner(self, credential: Credential) -> bool:
        return _equal(credential.digest, self._owner_digest) and self.has_owner

    def _caller(self, key: NamedKey, secret_id: str | None = None) -> Caller:
        caller = self._named.get((key.name, secret_id))
        if caller is None:
            caller = self._named[key.name, secret_id] = _make_caller(key, secret_id)
        return caller

    def check(self, caller: Caller) -> None:
        """Raise Unauthorized if the key of a named caller was revoked or rotated, or has expired."""
        check_caller(self._ring, caller)

    def redaction(self, credential: Credential) -> Redaction:
        """Return the redaction of the keys that a request with this credential may contain.

        It is empty if the gateway has no key: then the client's credential is LM Studio's, and is forwarded.
        """
        if not self.needs_key:
            return Redaction(())
        # A Bearer of a named key's id is that key, and no token for LM Studio.
        ours = (bearer for bearer in credential.beside if id_of(bearer) in self._ring.secrets)
        return Redaction((*self._owner_spellings, *credential.values, *ours))


def check_caller(ring: Keyring, caller: Caller) -> NamedKey | None:
    """Return the key of a caller whom an earlier ring admitted, None if the caller isn't a named key's.

    Raises Unauthorized if the key was revoked or rotated, or has expired.
    """
    if not caller.is_named:
        return None
    key = ring.holder(caller.name, caller.secret_id, unix_time())
    if key is None:
        raise Unauthorized(_ENDED)
    return key


def check_author(ring: Keyring, caller: Caller) -> None:
    """Raise Unauthorized or ScopeMissing if a change of the keys has taken from a caller the right to change
    them, while the caller's own change waited.
    """
    key = check_caller(ring, caller)
    if key is not None and "admin" not in key.settings.scopes:
        raise lacks(caller.name, "admin")
    if caller.is_anonymous and ring.is_configured:
        raise Unauthorized("a key was made meanwhile. Send it.")


def _equal(presented: bytes | None, stored: bytes) -> bool:
    return presented is not None and hmac.compare_digest(presented, stored)


def _make_caller(key: NamedKey, secret_id: str | None) -> Caller:
    settings = key.settings
    return Caller(
        name=key.name,
        scopes=frozenset(settings.scopes),
        models=Globs(settings.models),
        model=settings.model,
        default_inference=settings.default_inference,
        priority=settings.priority,
        user_header=settings.user_header,
        secret_id=secret_id,
        is_named=True,
        sent_key=secret_id is not None,
    )
