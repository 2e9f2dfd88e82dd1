"""The metrics for Prometheus: counted as plain numbers, rendered in the text format on request."""

from __future__ import annotations

import asyncio
import platform
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from .. import __version__
from .record import RequestRecord

# 50 ms for a short answer of a small model to 10 minutes for a long one of a large one.
SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
TOKENS_PER_SECOND = (1, 2, 5, 10, 20, 30, 40, 60, 80, 100, 150, 200, 400)
# Clients choose model names, so only those that LM Studio lists have a label of their own, at most so many,
# because clients may also choose the identifiers of instances. All others share "other".
MAX_MODEL_LABELS = 500
OTHER = "other"
# How many records with names that weren't listed when LM Studio answered with 200 wait for a newer list.
MAX_UNLISTED = 1000
_LABELS = ("route", "model", "key")


class Distribution:
    """A histogram. A value is counted in the first bucket that it fits; rendering adds the buckets up."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def __bool__(self) -> bool:
        return any(self._counts)

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        bounds = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        cumulative = [float(count) for count in accumulate(self._counts)]
        family.add_metric(labels, list(zip(bounds, cumulative, strict=True)), self._sum)


@dataclass(slots=True)
class Tally:
    """The counters and histograms of one route, model and key."""

    by_status: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    seconds: Distribution = field(default_factory=lambda: Distribution(SECONDS))
    first_token: Distribution = field(default_factory=lambda: Distribution(SECONDS))
    speed: Distribution = field(default_factory=lambda: Distribution(TOKENS_PER_SECOND))


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
        label = self._label(record.model)
        if label == OTHER and record.status == 200:
            self._unlisted.append(record)
            if len(self._unlisted) >= MAX_UNLISTED:
                self._count_unlisted()
        else:
            self._count(record, label)

    def _count_unlisted(self) -> None:
        unlisted, self._unlisted = self._unlisted, []
        for record in unlisted:
            self._count(record, self._label(record.model))

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
    ) -> bytes:
        """Return the text format. `reachable` is None until LM Studio was first asked."""
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
        unsaved = _counter("storage_errors", "Changes that could not be written to the database")
        unsaved.add_metric((), storage_errors)
        registry = CollectorRegistry()
        registry.register(_Families([*self._counted(), unsaved, *gauges, _build_info()]))
        return generate_latest(registry)

    def _counted(self) -> Iterator[Metric]:
        self._count_unlisted()
        requests = _counter("requests", "Proxied requests that ended", *_LABELS, "status")
        aborted = _counter("aborted", "Proxied requests whose client left", *_LABELS)
        tokens = _counter("tokens", "Tokens", *_LABELS, "direction")
        seconds = _histogram("request_seconds", "Time to the answer's end")
        first_token = _histogram("time_to_first_token_seconds", "Time to the first token")
        speed = _histogram("tokens_per_second", "Tokens generated per second")
        for labels, tally in self._tallies.items():
            for status, number in tally.by_status.items():
                requests.add_metric((*labels, status), number)
            if tally.by_status["aborted"]:
                aborted.add_metric(labels, tally.by_status["aborted"])
            for direction, number in tally.tokens.items():
                tokens.add_metric((*labels, direction), number)
            for family, values in (
                (seconds, tally.seconds),
                (first_token, tally.first_token),
                (speed, tally.speed),
            ):
                if values:
                    values.add_to(family, labels)
        operations = _counter("model_operations", "Model operations", "operation", "result")
        for kind, number in self._operations.items():
            operations.add_metric(kind, number)
        yield from (requests, aborted, tokens, operations, seconds, first_token, speed)


class _Families:
    """An adapter: a registry takes collectors, not metric families."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"lmgateway_{name}", text, labels=labels)


def _histogram(name: str, text: str) -> HistogramMetricFamily:
    return HistogramMetricFamily(f"lmgateway_{name}", text, labels=_LABELS)


def _build_info() -> Metric:
    family = GaugeMetricFamily("lmgateway_build_info", "Versions", labels=("version", "python"))
    family.add_metric((__version__, platform.python_version()), 1)
    return family
