"""The reports of the line that is in force, with what it has learned of answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from time import monotonic

from ..observe.queue_metrics import LineFigures
from ..schema.debug import Phase
from ..schema.queue import QueueReport
from .forecast import Forecast, forecast
from .line import Line
from .report import figures, report
from .residency.report import loading_instances, swap_report
from .residency.residency import Residency
from .tickets import Ticket


class LineReports:
    """`residencies` returns those of all boxes, `phases` those of the running exchanges by their ids."""

    def __init__(
        self,
        line: Callable[[], Line],
        residencies: Callable[[], Sequence[Residency]],
        phases: Callable[[], Mapping[str, Phase]],
    ) -> None:
        self._line = line
        self._residencies = residencies
        self._phases = phases

    def forecast(self) -> Mapping[Ticket, Forecast]:
        line, now = self._line(), monotonic()
        line.accounts.advance(now)
        return forecast(line, now, line.durations)

    def report(self) -> QueueReport:
        line, now, residencies = self._line(), monotonic(), self._residencies()
        return report(
            line,
            now,
            durations=line.durations,
            phases=self._phases(),
            pinned={pin for residency in residencies for pin in residency.terms.pins},
            loading=chain.from_iterable(map(loading_instances, residencies)),
            swap=swap_report(residencies, now, line.durations),
        )

    def figures(self) -> LineFigures:
        return figures(self._line(), monotonic())
