"""The metrics of the line before the GPU, for Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from ..schema.keys import Priority
from .exposition import counter, gauge, pieces
from .model_labels import BoundedLabels
from .tallies import SECONDS, Distribution

# The account of requests that didn't come through the gateway. No key has such a name.
OUTSIDE = "(outside)"

_Values = Sequence[tuple[Sequence[str], float]]
_Make = Callable[..., CounterMetricFamily | GaugeMetricFamily]


def _values(make: _Make, name: str, text: str, *labels: str) -> Callable[[_Values], Metric]:
    def family(values: _Values) -> Metric:
        made = make(name, text, *labels)
        for of, value in values:
            made.add_metric(of, value)
        return made

    return family


def _waits(waits: Sequence[tuple[tuple[Priority, str], Distribution]]) -> Metric:
    text = "Time in line, also of requests that gave up"
    family = HistogramMetricFamily("lmgateway_queue_wait_seconds", text, labels=("class", "model"))
    for labels, distribution in waits:
        distribution.add_to(family, labels)
    return family


_WAITING = _values(gauge, "queue_waiting", "Requests that wait in line", "class", "model")
_SLOTS = _values(gauge, "slots", "Requests that run at once", "model")
_REFUSED = _values(counter, "queue_refused", "Requests that the line refused", "reason")
_GPU = _values(counter, "gpu_seconds", "Time of the machines that each key has had", "key")
_BUSY = _values(counter, "busy_seconds", "Time in which a machine had something to do")
_SWAPS = _values(counter, "swaps", "Models that took the place of another one, or were to", "result")


def _loads(loads: Sequence[Distribution]) -> Metric:
    family = HistogramMetricFamily("lmgateway_load_seconds", "Time of the loads through the gateway")
    for distribution in loads:
        distribution.add_to(family, ())
    return family


_FREE = _values(counter, "free_while_waiting_seconds", "Time in which a request waited that could have run")


class LineFigures(Struct, frozen=True, kw_only=True):
    """The figures of the line that its owner counts.

    `waiting` has the requests in line by class and model, `slots` those of each model in memory,
    `gpu_seconds` the time of the machines that each key has had. The seconds are since the start.
    """

    waiting: Mapping[tuple[Priority, str], int]
    slots: Mapping[str, int]
    gpu_seconds: Mapping[str, float]
    busy_seconds: float
    free_while_waiting_seconds: float


class QueueMetrics:
    """The owner of the waits and refusals; the figures of the line are handed in.

    `label_of` returns the name under which a model is counted.
    """

    def __init__(self, label_of: Callable[[str], str]) -> None:
        self._label_of = label_of
        self._labels = BoundedLabels()
        self._waits: dict[tuple[Priority, str], Distribution] = {}
        self._refused: Counter[str] = Counter()
        self._swaps: Counter[str] = Counter(completed=0, revoked=0, failed=0)
        self._loads = Distribution(SECONDS)

    def waited(self, priority: Priority, model: str, seconds: float) -> None:
        """Count a request that has waited in line, whether or not it ran then."""
        labels = priority, self._label(model)
        waits = self._waits.get(labels)
        if waits is None:
            waits = self._waits[labels] = Distribution(SECONDS)
        waits.observe(seconds)

    def refused(self, reason: str) -> None:
        """Count a request that was refused with this code."""
        self._refused[reason] += 1

    def swap_ended(self, result: str) -> None:
        """Count a swap that was completed, revoked, or has failed."""
        self._swaps[result] += 1

    def loaded(self, seconds: float) -> None:
        """Count a load."""
        self._loads.observe(seconds)

    def render(self, line: LineFigures) -> Iterator[bytes]:
        """Yield the text format in pieces, each of which takes a few milliseconds."""
        waiting: Counter[tuple[Priority, str]] = Counter(dict.fromkeys(self._waits, 0))
        for (priority, model), number in line.waiting.items():
            waiting[priority, self._label(model)] += number
        slots: Counter[str] = Counter()
        for model, number in line.slots.items():
            slots[self._label(model)] += number
        yield from pieces(_WAITING, list(waiting.items()))
        yield from pieces(_waits, list(self._waits.items()))
        yield from pieces(_SLOTS, [((model,), number) for model, number in slots.items()])
        yield from pieces(_REFUSED, [((reason,), number) for reason, number in self._refused.items()])
        yield from pieces(_GPU, [((key,), seconds) for key, seconds in line.gpu_seconds.items()])
        yield from pieces(_BUSY, [((), line.busy_seconds)])
        yield from pieces(_FREE, [((), line.free_while_waiting_seconds)])
        yield from pieces(_SWAPS, [((result,), number) for result, number in self._swaps.items()])
        yield from pieces(_loads, [self._loads])

    def _label(self, model: str) -> str:
        return self._labels.of(self._label_of(model))
