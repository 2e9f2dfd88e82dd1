"""Environment variables that are one letter away from the gateway's: most likely misspelt, so ignored."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from msgspec import Struct

from .files import CONFIG_PATH_VARIABLE
from .tree import SETTINGS

_KNOWN = (*dict.fromkeys(name for setting in SETTINGS.values() for name in setting.env), CONFIG_PATH_VARIABLE)
# The environment has other programs' variables too. Only a name near these is meant for the gateway.
OWN_PREFIXES = ("GATEWAY_", "LMSTUDIO_", "LMGATEWAY_")


class MisspeltVariable(Struct, frozen=True):
    """A variable, its source, and the variable of the gateway that it is like."""

    source: str
    name: str
    meant: str

    def __str__(self) -> str:
        return f"{self.source}: {self.name} isn't a variable of the gateway. Did you mean {self.meant}?"


def find(
    source: str, names: Collection[str], given: Mapping[str, object], *, only_own_prefixes: bool
) -> Iterator[MisspeltVariable]:
    """Yield the misspelt ones of these names. What is `given` under its right name too isn't one."""
    candidates = {
        meant: _letters(meant)
        for meant in _KNOWN
        if not given.get(meant) and (not only_own_prefixes or meant.startswith(OWN_PREFIXES))
    }
    for name in names:
        letters = _letters(name)
        meant = next((meant for meant, its in candidates.items() if _is_near(letters, its)), None)
        if meant is not None and name not in _KNOWN:
            yield MisspeltVariable(source, name, meant)


def _letters(name: str) -> str:
    return name.upper().replace("_", "").replace("-", "")


def _is_near(one: str, other: str) -> bool:
    """True if at most one letter is missing, different or superfluous, or two neighbours are swapped."""
    short, long = sorted((one, other), key=len)
    same = next(
        (place for place, pair in enumerate(zip(short, long, strict=False)) if len(set(pair)) > 1), None
    )
    short, long = (text[len(short) if same is None else same :] for text in (short, long))
    if len(long) > len(short):
        return long[1:] == short
    return short[1:] == long[1:] or (short[:2] == long[1::-1] and short[2:] == long[2:])
