"""Named keys and rings for the tests of what is pure."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import structs

from lmgateway.access.keyring import Keyring, NamedKey
from lmgateway.access.secrets import Secret, make_key, secret_of
from lmgateway.schema.keys import KeySettings

NOW = 1_800_000_000.0
# The form of a key: `sk-lm-`, 8 characters, a colon, 20 characters.
REST = "abcdefghij0123456789"


def secret(key_id: str, *, until: float | None = None) -> Secret:
    made = secret_of(f"sk-lm-{key_id}:{REST}")
    return Secret(id=made.id, digest=made.digest, until=until)


def settings(**fields: Any) -> KeySettings:
    """Return the settings in this JSON."""
    return msgspec.convert(fields, KeySettings)


def key(
    name: str,
    *,
    key_id: str | None = None,
    expires: float | None = None,
    previous: Secret | None = None,
    **fields: Any,
) -> NamedKey:
    """Return a key; its id is made of its name if none is given."""
    return NamedKey(
        name=name,
        settings=settings(**fields),
        secret=secret(key_id or f"{name:x<8}"[:8]),
        previous=previous,
        created=NOW - 100,
        expires=expires,
    )


def admin(name: str, *, expires: float | None = None, **fields: Any) -> NamedKey:
    return key(name, expires=expires, scopes=["admin"], **fields)


def ring(*keys: NamedKey) -> Keyring:
    return Keyring.of(keys)


def many(count: int) -> dict[str, NamedKey]:
    """Return keys with real secrets and addresses, by secret."""
    keys = {}
    for number in range(count):
        text = make_key()
        base = key(f"key{number}", addresses=[f"10.{number // 250}.{number % 250}.1"])
        keys[text] = structs.replace(base, secret=secret_of(text))
    return keys
