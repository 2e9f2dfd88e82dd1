"""The key of a request, and the redaction of keys in what is forwarded, logged or shown."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from msgspec import Struct

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

_HIDDEN = "********"
# The form of a named key, the same as that of LM Studio's API tokens. Only a named key's hash is stored, so
# redaction can search only for the form.
PREFIX = "sk-lm-"
SHAPE = re.compile(rf"{PREFIX}[A-Za-z0-9]{{8}}:[A-Za-z0-9]{{20}}")
# A shorter key is a part of ordinary words, so it is searched only as a word of its own.
SHORTEST_WITHIN_WORDS = 6


class Credential(Struct, frozen=True, dict=True):
    """The keys in a request's header fields. `key` is None if there are several.

    With several, a proxy in front may have checked another one than the gateway would. `beside` are the
    Bearers that an X-API-Key overrules: the client's own, for LM Studio.
    """

    values: tuple[str, ...] = ()
    is_contradictory: bool = False
    beside: tuple[str, ...] = ()

    @property
    def key(self) -> str | None:
        return self.values[0] if len(self.values) == 1 else None

    @cached_property
    def digest(self) -> bytes | None:
        """The key's digest. It may be cached, unlike the decision whether the key is accepted."""
        return None if self.key is None else digest(self.key)


def digest(key: str) -> bytes:
    """Return the SHA-256 by which keys are stored and compared."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def spellings(key: str) -> tuple[str, ...]:
    """Return the key as it is, and as it appears in a URL (such as a Referer) if that differs."""
    encoded = key.encode("utf-8", "surrogateescape")
    return tuple(dict.fromkeys((key, quote(encoded, safe=""), quote(encoded), quote_plus(encoded))))


def presented(headers: CIMultiDictProxy[str]) -> Credential:
    """Return the credential in these fields."""
    api_keys, authorizations = (
        tuple(dict.fromkeys(headers.getall(name, ()))) for name in ("X-API-Key", "Authorization")
    )
    bearers = tuple(key for key in map(_bearer, authorizations) if key is not None)
    is_contradictory = len(api_keys) > 1 or len(authorizations) > 1
    if api_keys:
        return Credential(api_keys, is_contradictory, bearers)
    return Credential(bearers, is_contradictory)


def _bearer(authorization: str) -> str | None:
    scheme, _, key = authorization.partition(" ")
    # Schemes are case-insensitive (RFC 9110 section 11.1).
    return key.strip(" ") if scheme.lower() == "bearer" else None


class Redaction:
    """Hides keys in texts: the known keys, wherever they are, and everything in the form of a named key."""

    __slots__ = ("_keys",)

    def __init__(self, keys: tuple[str, ...]) -> None:
        self._keys = tuple(key for key in dict.fromkeys(keys) if key)

    def holds_known_key(self, text: str) -> bool:
        """True if the text contains a known key."""
        return any(key in text and re.search(_pattern(key), text) for key in self._keys)

    def holds_key(self, text: str) -> bool:
        """True if the text contains a known key, or anything in a named key's form."""
        return (PREFIX in text and SHAPE.search(text) is not None) or self.holds_known_key(text)

    def redact(self, text: str) -> str:
        """Return the text without keys."""
        for key in self._keys:
            if key in text:
                text = re.sub(_pattern(key), _HIDDEN, text)
        return SHAPE.sub(_HIDDEN, text) if PREFIX in text else text

    def redact_json(self, value: Any) -> Any:
        """Return JSON without keys in its texts. Field names are the gateway's own, and stay."""
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, list):
            return [self.redact_json(item) for item in value]
        if isinstance(value, Mapping):
            return {name: self.redact_json(item) for name, item in value.items()}
        return value


BY_SHAPE = Redaction(())


def _pattern(key: str) -> str:
    escaped = re.escape(key)
    return escaped if len(key) >= SHORTEST_WITHIN_WORDS else rf"(?<![\w-]){escaped}(?![\w-])"
