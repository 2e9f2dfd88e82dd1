"""The secrets of named keys: `sk-lm-`, an id of eight characters, a colon and twenty more.

The form is that of LM Studio's own API tokens, which its SDKs insist on, so that one key serves every client.
"""

from __future__ import annotations

import re
import secrets
import string

from msgspec import Struct

from .credentials import PREFIX, SHAPE, digest

_CHARACTERS = string.ascii_letters + string.digits
_ID_CHARACTERS, _REST_CHARACTERS = 8, 20
_WHOLE = re.compile(rf"{SHAPE.pattern}\Z")


class Secret(Struct, frozen=True, kw_only=True):
    """What is stored of a secret. `until` is the Unix time at which it ends, None if it doesn't."""

    id: str
    digest: bytes
    until: float | None = None

    def is_valid(self, now: float) -> bool:
        return self.until is None or now < self.until


def make_key() -> str:
    """Return a new key."""
    return f"{PREFIX}{_random(_ID_CHARACTERS)}:{_random(_REST_CHARACTERS)}"


def secret_of(key: str) -> Secret:
    """Return what is stored of a key in the form of a named key."""
    return Secret(id=key[len(PREFIX) : len(PREFIX) + _ID_CHARACTERS], digest=digest(key))


def id_of(key: str) -> str | None:
    """Return the id in a key; None if it isn't in the form of a named key."""
    return key[len(PREFIX) : len(PREFIX) + _ID_CHARACTERS] if _WHOLE.match(key) else None


def _random(length: int) -> str:
    return "".join(secrets.choice(_CHARACTERS) for _ in range(length))
