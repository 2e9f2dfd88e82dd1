"""JSON values that are taken apart one level at a time, so that everything else stays byte for byte the same.

Each function raises msgspec.DecodeError for a lone surrogate, and UnicodeDecodeError for what isn't UTF-8.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

Members = dict[str, Raw]

_OBJECT = msgspec.json.Decoder(Members)
_ARRAY = msgspec.json.Decoder(list[Raw])
_STRING = msgspec.json.Decoder(str)


def members(value: Raw | None) -> Members:
    """Return an object's members, none for any other value."""
    try:
        return {} if value is None else _OBJECT.decode(value)
    except msgspec.ValidationError:
        return {}


def items(value: Raw | None) -> list[Raw]:
    """Return an array's items, none for any other value."""
    try:
        return [] if value is None else _ARRAY.decode(value)
    except msgspec.ValidationError:
        return []


def text(value: Raw | None) -> str | None:
    """Return a string's text, None for any other value."""
    try:
        return None if value is None else _STRING.decode(value)
    except msgspec.ValidationError:
        return None


def raw(value: object) -> Raw:
    return Raw(msgspec.json.encode(value))
