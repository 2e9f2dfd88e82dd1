"""The caller of a request, and the caller's rights."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Literal, get_args

from msgspec import Struct

from ..config import Config
from ..errors import Forbidden, Unauthorized
from .credentials import Credential, Redaction, digest, spellings

Scope = Literal["inference", "tools", "models", "observe", "log", "admin"]
SCOPES: frozenset[Scope] = frozenset(get_args(Scope))

_HOW_TO_SEND = (
    "Unauthorized: send the gateway's key as 'Authorization: Bearer <key>' or as 'X-API-Key: <key>'."
)
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class Caller(Struct, frozen=True, kw_only=True):
    """A client's identity and rights. `models` are globs of model keys; `limits` are numbers by name."""

    name: str
    scopes: frozenset[Scope]
    models: tuple[str, ...] = ("*",)
    limits: Mapping[str, int] = {}

    def require(self, scope: Scope) -> None:
        """Raise Forbidden, which names the scope, if the caller lacks it. `admin` includes all scopes."""
        if scope not in self.scopes and "admin" not in self.scopes:
            sentence = f"The key {self.name} lacks the scope {scope}, which this path needs."
            raise Forbidden(f"Forbidden: {sentence}", details=sentence)


OWNER = Caller(name="owner", scopes=SCOPES)
ANYONE = Caller(name="anyone", scopes=SCOPES)


class Callers:
    """The known callers: the owner of the configured key or, without a key, anyone."""

    def __init__(self, config: Config) -> None:
        self._owner_key = config.auth.api_key
        self._owner_digest = digest(self._owner_key)
        self._owner_spellings = spellings(self._owner_key)
        self.needs_key = bool(self._owner_key)

    def identify(self, credential: Credential) -> Caller:
        """Return the caller with this credential. Raises Unauthorized.

        The result must not be cached: after a change of the keys, a revoked key would still be accepted.
        """
        if not self.needs_key:
            return ANYONE
        if credential.is_contradictory:
            raise Unauthorized(
                "Unauthorized: the request has two key headers with different values. Send one.",
                headers=_CHALLENGE,
            )
        # Digests have one length, so the comparison's time doesn't reveal the key's.
        if credential.digest is not None and hmac.compare_digest(credential.digest, self._owner_digest):
            return OWNER
        raise Unauthorized(_HOW_TO_SEND, headers=_CHALLENGE)

    def redaction(self, credential: Credential) -> Redaction:
        """Return the redaction of the keys that a request with this credential may contain.

        It is empty if the gateway has no key: then the client's credential is LM Studio's, and is forwarded.
        """
        return Redaction((*self._owner_spellings, *credential.values) if self.needs_key else ())
