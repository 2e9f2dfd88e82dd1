"""Globs of model keys."""

from __future__ import annotations

import re
from functools import cached_property

from msgspec import Struct

from ..text import compiled_glob


class Globs(Struct, frozen=True, dict=True):
    """Globs with `*` for any characters, also slashes, and `?` for one. They are case-sensitive."""

    patterns: tuple[str, ...] = ("*",)

    @cached_property
    def allow_all(self) -> bool:
        """True if every model matches, also one whose key isn't known."""
        return any(pattern.strip("*") == "" for pattern in self.patterns)

    def allow(self, model_key: str) -> bool:
        return self.allow_all or any(glob.match(model_key) for glob in self._compiled)

    @cached_property
    def _compiled(self) -> list[re.Pattern[str]]:
        return [*map(compiled_glob, self.patterns)]


EVERY_MODEL = Globs()
