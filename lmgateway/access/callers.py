"""Who calls, and what that caller may do."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Literal, get_args

from msgspec import Struct

from ..config import Config
from ..errors import Forbidden, Unauthorized
from .credentials import Credential, Redaction, digest

Scope = Literal["inference", "tools", "models", "observe", "log", "admin"]
SCOPES: frozenset[Scope] = frozenset(get_args(Scope))

_HOW_TO_SEND = (
    "Unauthorized: send the gateway's key as 'Authorization: Bearer <key>' or as 'X-API-Key: <key>'."
)
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class Caller(Struct, frozen=True, kw_only=True):
    """Somebody with rights. `models` are globs on the keys of models; `limits` are numbers by name."""

    name: str
    scopes: frozenset[Scope]
    models: tuple[str, ...] = ("*",)
    limits: Mapping[str, int] = {}

    def require(self, scope: Scope) -> None:
        """Raise Forbidden, which names the scope, if the caller lacks it. `admin` includes every other."""
        if scope not in self.scopes and "admin" not in self.scopes:
            sentence = f"The key {self.name} lacks the scope {scope}, which this path needs."
            raise Forbidden(f"Forbidden: {sentence}", details=sentence)


OWNER = Caller(name="owner", scopes=SCOPES)
ANYONE = Caller(name="anyone", scopes=SCOPES)


class Callers:
    """Everybody who may call: the owner of the configured key or, without one, anyone."""

    def __init__(self, config: Config) -> None:
        self._owner_key = config.auth.api_key
        self._owner_digest = digest(self._owner_key)
        self.needs_key = bool(self._owner_key)

    def identify(self, credential: Credential) -> Caller:
        """Return the caller with this credential. Raises Unauthorized.

        Called for each request: a verdict that is cached would survive a change of the keys.
        """
        if not self.needs_key:
            return ANYONE
        if credential.is_contradictory:
            raise Unauthorized(
                "Unauthorized: the key header came twice with different values.", headers=_CHALLENGE
            )
        # Digests have one length, so the time of a comparison tells nothing of the key.
        if credential.digest is not None and hmac.compare_digest(credential.digest, self._owner_digest):
            return OWNER
        raise Unauthorized(_HOW_TO_SEND, headers=_CHALLENGE)

    def redaction(self, credential: Credential) -> Redaction:
        """Return what hides the keys that a request with this credential may hold.

        Without a key of the gateway's, what a client presents is its own business, and goes on to LM Studio.
        """
        return Redaction((self._owner_key, *credential.values) if self.needs_key else ())
