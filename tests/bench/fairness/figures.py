"""A promise of the line, as a number with its target."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from tests.bench.tables import table

Unit = Literal["%", "s", ":1", "times", ""]


class Figure(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`least` and `most` are the target. `without` is the same figure with LM Studio's own line alone."""

    case: str
    what: str
    value: float
    unit: Unit
    least: float | None = None
    most: float | None = None
    without: float | None = None

    @property
    def is_met(self) -> bool:
        is_enough = self.least is None or self.value >= self.least
        return is_enough and (self.most is None or self.value <= self.most)


def percent(case: str, what: str, part: float, **more: float | None) -> Figure:
    """Return a part of 1 as a figure. The target is in percent."""
    if (without := more.pop("without", None)) is not None:
        more["without"] = 100 * without
    return Figure(case=case, what=what, value=100 * part, unit="%", **more)


def rows(figures: Iterable[Figure]) -> str:
    """Return the figures as a table in Markdown."""
    return table(
        ("what", "target", "measured", "without the line"),
        [(one.what, _target(one), _shown(one.value, one), _without(one)) for one in figures],
    )


def _target(figure: Figure) -> str:
    least, most = figure.least, figure.most
    if least is not None and most is not None:
        return f"{_number(least)} to {_shown(most, figure)}"
    if least is not None:
        return f"≥ {_shown(least, figure)}"
    return "" if most is None else f"≤ {_shown(most, figure)}"


def _without(figure: Figure) -> str:
    return "" if figure.without is None else _shown(figure.without, figure)


def _shown(value: float, figure: Figure) -> str:
    return f"{_number(value)}{'' if figure.unit in {':1', ''} else ' '}{figure.unit}"


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
