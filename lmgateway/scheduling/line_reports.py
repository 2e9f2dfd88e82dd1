"""The reports of the line that is in force, with what it has learned of answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic

from ..observe.queue_metrics import LineFigures
from ..schema.debug import Phase
from ..schema.queue import QueueReport
from .forecast import Forecast, forecast
from .line import Line
from .report import figures, report
from .tickets import Ticket


class LineReports:
    """`line` returns the line, `phases` those of the running exchanges by their ids."""

    def __init__(self, line: Callable[[], Line], phases: Callable[[], Mapping[str, Phase]]) -> None:
        self._line = line
        self._phases = phases

    def forecast(self) -> Mapping[Ticket, Forecast]:
        line, now = self._line(), monotonic()
        line.accounts.advance(now)
        return forecast(line, now, line.durations)

    def report(self) -> QueueReport:
        line = self._line()
        return report(line, monotonic(), durations=line.durations, phases=self._phases())

    def figures(self) -> LineFigures:
        return figures(self._line(), monotonic())
