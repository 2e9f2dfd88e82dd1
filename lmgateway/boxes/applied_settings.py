"""Compares the load settings that were asked for with those that LM Studio reports for an instance."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

# LM Studio's names for two values of gpu.ratio.
_RATIOS = {"off": 0, "max": 1}
# LM Studio's engines have settings as 32-bit floats.
_TOLERANCE = 1e-6


class Difference(NamedTuple):
    """A setting that has another value than asked for. Its text follows "LM Studio applied" or "It has"."""

    name: str
    asked: object
    applied: object

    def __str__(self) -> str:
        if self.name == "contextLength":
            return f"a context of {self.applied:,} tokens instead of {self.asked:,}"
        return f"{self.name} {_spelled(self.applied)} instead of {_spelled(self.asked)}"


def differences(asked: Mapping[str, object], applied: Mapping[str, object]) -> tuple[Difference, ...]:
    """Return the settings with another value than asked for, by their dotted names.

    A setting that LM Studio doesn't report, or reports in another form, is unknown: it isn't compared.
    """
    reported = dict(_flat(applied))
    pairs = ((name, value, reported.get(name)) for name, value in _flat(asked))
    return tuple(Difference(*pair) for pair in pairs if _differ(*pair[1:]))


def _flat(settings: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _differ(asked: object, applied: object) -> bool:
    match _number_of(asked), _number_of(applied):
        case (bool() as one, bool() as other) | (str() as one, str() as other):
            return one != other
        case (bool(), _) | (_, bool()):
            return False
        case (int() | float() as one, int() | float() as other):
            return not math.isclose(one, other, rel_tol=_TOLERANCE)
    return False


def _number_of(value: object) -> object:
    return _RATIOS.get(value, value) if isinstance(value, str) else value


def _spelled(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
