"""The shares and limits of the keys, for the line."""

from __future__ import annotations

from ..access.keyring import NO_KEYS, Keyring
from .line import UNLIMITED
from .tickets import Terms


class KeyTerms:
    """The terms of the keys in force."""

    def __init__(self) -> None:
        self._ring = NO_KEYS
        self._known: dict[str, Terms] = {}

    def replace(self, ring: Keyring) -> None:
        self._ring = ring
        self._known.clear()

    def of(self, key: str) -> Terms:
        """Return a key's terms; a caller without a named key has no limits."""
        terms = self._known.get(key)
        if terms is None:
            named = self._ring.keys.get(key)
            if named is None:
                return UNLIMITED
            settings = named.settings
            terms = self._known[key] = Terms(settings.share, settings.limits.running)
        return terms
