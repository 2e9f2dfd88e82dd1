"""The mistakes in the aliases of several models together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..config import ModelProfile
from .paths import write


def shared_aliases(tables: Mapping[str, ModelProfile]) -> Iterator[str]:
    """Yield a sentence for each alias that two models have."""
    owners: dict[str, str] = {}
    for key, table in tables.items():
        for alias in table.aliases:
            if (other := owners.setdefault(alias, key)) != key:
                paths = " and ".join(write(("models", name, "aliases")) for name in (other, key))
                yield f'{paths}: both have the alias "{alias}"; remove it from one of them'
