"""The reports of the line that is in force, with what was learned of its answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from time import monotonic

from ..observe.queue_metrics import LineFigures
from ..schema.debug import Phase
from ..schema.queue import QueueReport
from .durations import Durations
from .forecast import Forecast, forecast
from .line import Line
from .report import figures, report
from .slots import Lease
from .tickets import Ticket


class LineReports:
    """The owner of the learned durations.

    `phases` returns those of the running exchanges by their ids, `pinned` the keys of the pinned models.
    """

    def __init__(
        self,
        line: Callable[[], Line],
        phases: Callable[[], Mapping[str, Phase]],
        pinned: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._line = line
        self._phases = phases
        self._pinned = pinned
        self._durations = Durations()

    def ended(self, lease: Lease) -> None:
        """Learn from a lease that has ended now."""
        if lease.is_used:
            self._durations.learn(lease.ticket.model, monotonic() - lease.began)

    def usual_seconds(self, model: str) -> float | None:
        """Return how long the model's recent answers took, None if none has ended."""
        return self._durations.mean(model)

    def forecast(self) -> Mapping[Ticket, Forecast]:
        line, now = self._line(), monotonic()
        line.accounts.advance(now)
        return forecast(line, now, self._durations)

    def report(self) -> QueueReport:
        return report(
            self._line(),
            monotonic(),
            durations=self._durations,
            phases=self._phases(),
            pinned=self._pinned(),
        )

    def figures(self) -> LineFigures:
        return figures(self._line(), monotonic())
