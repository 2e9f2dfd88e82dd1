"""The caller of a request, and the caller's rights."""

from __future__ import annotations

import hmac

from msgspec import Struct

from ..config import Config
from ..errors import KeysUnreadable, ScopeMissing, Unauthorized
from ..networks import Address
from ..observe.clock import unix_time
from ..schema.keys import SCOPES, KeyLimits, Priority, Scope
from ..schema.models import DefaultInference
from .credentials import Credential, Redaction, digest, spellings
from .globs import EVERY_MODEL, Globs
from .keyring import NO_KEYS, Keyring, NamedKey
from .secrets import id_of

_HOW_TO_SEND = "Unauthorized: send a key as 'Authorization: Bearer <key>' or as 'X-API-Key: <key>'."
_CHALLENGE = {"WWW-Authenticate": "Bearer"}
_UNREADABLE = (
    "The gateway's keys can't be read, so only its owner's key (auth.api_key) is accepted. The gateway's log "
    "says why, and its owner can restore a copy of the database, or make new keys."
)


class Caller(Struct, frozen=True, kw_only=True):
    """A client's identity and rights.

    `secret_id` is the id of the secret that was sent; None for a caller who sent none of a named key.
    `is_named`: a named key's caller. `sent_key`: the request had a key, so no other site's page can have made
    it.
    """

    name: str
    scopes: frozenset[Scope]
    models: Globs = EVERY_MODEL
    limits: KeyLimits = KeyLimits()
    model: str | None = None
    default_inference: DefaultInference | None = None
    share: float = 1.0
    priority: Priority = "interactive"
    user_header: str | None = None
    secret_id: str | None = None
    is_named: bool = False
    sent_key: bool = False

    def has(self, scope: Scope) -> bool:
        """True if the caller has this scope. `admin` includes all."""
        return scope in self.scopes or "admin" in self.scopes

    def require(self, scope: Scope) -> None:
        """Raise ScopeMissing, which names the scope, if the caller lacks it."""
        if not self.has(scope):
            sentence = f"The key {self.name} lacks the scope {scope}, which this request needs."
            raise ScopeMissing(f"Forbidden: {sentence}", details=sentence)


OWNER = Caller(name="owner", scopes=SCOPES, sent_key=True)
ANYONE = Caller(name="anyone", scopes=SCOPES)


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
        # By name, and by the id of the secret that was sent.
        self._named: dict[tuple[str, str | None], Caller] = {}

    def identify(self, credential: Credential, client: Address) -> Caller:
        """Return the caller with this credential, or at this address. Raises Unauthorized, KeysUnreadable.

        The result must not be cached: a key may end at any moment.
        """
        if not self.needs_key:
            return ANYONE
        if credential.is_contradictory:
            raise Unauthorized(
                "Unauthorized: the request has two key headers with different values. Send one.",
                headers=_CHALLENGE,
            )
        now = unix_time()
        caller = self._with_key(credential, now) if credential.key else self._at_address(client, now)
        if caller is not None:
            return caller
        if not self._ring.is_readable:
            raise KeysUnreadable(_UNREADABLE, headers={"Retry-After": "30"})
        raise Unauthorized(_HOW_TO_SEND, headers=_CHALLENGE)

    def _with_key(self, credential: Credential, now: float) -> Caller | None:
        # One comparison, with the only secret that it can be. Digests have one length, so the comparison's
        # time doesn't reveal the key's.
        secret_id = id_of(credential.key or "")
        named = None
        if secret_id is not None and secret_id != self._owner_id:
            named = self._ring.secrets.get(secret_id)
        expected = self._owner_digest if named is None else named[1].digest
        if credential.digest is None or not hmac.compare_digest(credential.digest, expected):
            return None
        if named is None:
            return OWNER if self.has_owner else None
        key, secret = named
        return self._caller(key, secret.id) if key.is_valid(now) and secret.is_valid(now) else None

    def _at_address(self, client: Address, now: float) -> Caller | None:
        key = self._ring.at_address(client, now)
        return None if key is None else self._caller(key)

    def _caller(self, key: NamedKey, secret_id: str | None = None) -> Caller:
        caller = self._named.get((key.name, secret_id))
        if caller is None:
            caller = self._named[key.name, secret_id] = _make_caller(key, secret_id)
        return caller

    def is_valid(self, caller: Caller) -> bool:
        """True unless the key of a named caller was revoked or rotated, or has expired."""
        if not caller.is_named:
            return True
        now = unix_time()
        if caller.secret_id is None:
            key = self._ring.keys.get(caller.name)
            return key is not None and key.is_valid(now)
        named = self._ring.secrets.get(caller.secret_id)
        return named is not None and named[0].is_valid(now) and named[1].is_valid(now)

    def redaction(self, credential: Credential) -> Redaction:
        """Return the redaction of the keys that a request with this credential may contain.

        It is empty if the gateway has no key: then the client's credential is LM Studio's, and is forwarded.
        """
        return Redaction((*self._owner_spellings, *credential.values) if self.needs_key else ())


def _make_caller(key: NamedKey, secret_id: str | None) -> Caller:
    settings = key.settings
    return Caller(
        name=key.name,
        scopes=frozenset(settings.scopes),
        models=Globs(settings.models),
        limits=settings.limits,
        model=settings.model,
        default_inference=settings.default_inference,
        share=settings.share,
        priority=settings.priority,
        user_header=settings.user_header,
        secret_id=secret_id,
        is_named=True,
        sent_key=secret_id is not None,
    )
