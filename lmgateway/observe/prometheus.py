"""The metrics for Prometheus: counted as plain numbers, rendered in the text format on request."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily

from .exposition import build_info, counter, of_tallies, text_of
from .record import RequestRecord
from .tallies import Tally

# Clients choose model names, so only those that LM Studio lists have a label of their own, at most so many,
# because clients may also choose the identifiers of instances. All others share "other".
MAX_MODEL_LABELS = 500
OTHER = "other"
# How many records with names that weren't listed when LM Studio answered with 200 wait for a newer list.
MAX_UNLISTED = 1000


class Metrics:
    """The owner of the counters and histograms."""

    def __init__(self) -> None:
        self._labels: set[str] = set()
        self._unlisted: list[RequestRecord] = []
        self._is_listed: Callable[[str], bool] = lambda _: False
        self._tallies: dict[tuple[str, str, str], Tally] = {}
        self._operations: Counter[tuple[str, str]] = Counter()
        self._worst_lag = 0.0

    def label_models(self, is_listed: Callable[[str], bool]) -> None:
        """Give the models for which this is true a label of their own."""
        self._is_listed = is_listed

    @property
    def awaits_list(self) -> bool:
        """True if there are names that LM Studio answered to, and that it hasn't listed."""
        return bool(self._unlisted)

    def ended(self, record: RequestRecord) -> None:
        """Count an exchange that has ended. Until it is rendered, its model may still become listed."""
        label = self._label(_model_of(record))
        if label == OTHER and record.status == 200:
            self._unlisted.append(record)
            if len(self._unlisted) >= MAX_UNLISTED:
                self._count_unlisted()
        else:
            self._count(record, label)

    def _count_unlisted(self) -> None:
        unlisted, self._unlisted = self._unlisted, []
        for record in unlisted:
            self._count(record, self._label(_model_of(record)))

    def _label(self, name: str | None) -> str:
        if name is None:
            return ""
        if name in self._labels:
            return name
        if len(self._labels) < MAX_MODEL_LABELS and self._is_listed(name):
            self._labels.add(name)
            return name
        return OTHER

    def _count(self, record: RequestRecord, model: str) -> None:
        labels = (record.route, model, record.key)
        tally = self._tallies.get(labels)
        if tally is None:
            tally = self._tallies[labels] = Tally()
        status = "aborted" if record.outcome == "aborted" else f"{record.status // 100}xx"
        tally.by_status[status] += 1
        tally.seconds.observe(record.total_ms / 1000)
        if record.ttft_ms is not None:
            tally.first_token.observe(record.ttft_ms / 1000)
        if record.tokens_per_second is not None:
            tally.speed.observe(record.tokens_per_second)
        if record.usage is not None:
            tally.tokens["in"] += record.usage.prompt_tokens
            tally.tokens["out"] += record.usage.completion_tokens
            if record.usage.reasoning_tokens is not None:
                tally.reasoning_tokens += record.usage.reasoning_tokens

    def operation(self, kind: str, *, succeeded: bool) -> None:
        self._operations[kind, "success" if succeeded else "failure"] += 1

    def lag(self, seconds: float) -> None:
        self._worst_lag = max(self._worst_lag, seconds)

    def render(
        self,
        *,
        in_flight: int,
        reachable: bool | None,
        subscribers: int,
        lost_events: int,
        storage_errors: int,
    ) -> Iterator[bytes]:
        """Yield the text format in pieces, each of which takes a few milliseconds.

        `reachable` is None until LM Studio was first asked.
        """
        now: dict[str, tuple[str, float]] = {
            "in_flight": ("Proxied requests that run", in_flight),
            "event_loop_lag_seconds": (
                "How late the event loop was at worst since last asked",
                self._worst_lag,
            ),
            "tasks": ("Tasks of the event loop", len(asyncio.all_tasks())),
            "event_subscribers": ("Readers of /debug/stream", subscribers),
            "events_lost": ("Events that slow readers of /debug/stream lost", lost_events),
        }
        if reachable is not None:
            now["upstream_reachable"] = ("Whether LM Studio answered when it was last asked", reachable)
        self._worst_lag = 0.0
        gauges = [GaugeMetricFamily(f"lmgateway_{name}", text, value) for name, (text, value) in now.items()]
        unsaved = counter("storage_errors", "Changes that could not be written to the database")
        unsaved.add_metric((), storage_errors)
        self._count_unlisted()
        operations = counter("model_operations", "Model operations", "operation", "result")
        for kind, number in self._operations.items():
            operations.add_metric(kind, number)
        yield from of_tallies(list(self._tallies.items()))
        for family in (operations, unsaved, *gauges, build_info()):
            yield text_of(family)


def _model_of(record: RequestRecord) -> str | None:
    """Return the model that answered; the one that was asked for if no other did."""
    return record.served_model or record.model
