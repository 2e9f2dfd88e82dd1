"""The aliases of models: other names, or globs of names, that clients may use."""

from __future__ import annotations

from collections.abc import Mapping

from ..config import ModelProfile
from ..text import compiled_glob, is_glob


class Aliases:
    """The aliases in `[models."KEY"] aliases`. They are case-sensitive."""

    def __init__(self, tables: Mapping[str, ModelProfile]) -> None:
        owners = {alias: key for key, table in tables.items() for alias in table.aliases}
        self._exact = {alias: key for alias, key in owners.items() if not is_glob(alias)}
        # The longest first. Of two that are as long, the order is fixed, so that a restart changes nothing.
        globs = sorted(filter(is_glob, owners), key=lambda glob: (-len(glob), glob))
        self._globs = [(compiled_glob(glob), owners[glob]) for glob in globs]

    def match(self, name: str) -> str | None:
        """Return the key of the model that has this alias: an exact one before globs, then the longest."""
        if (key := self._exact.get(name)) is not None:
            return key
        if not self._globs:  # a generator takes longer
            return None
        return next((key for glob, key in self._globs if glob.match(name)), None)


NO_ALIASES = Aliases({})
