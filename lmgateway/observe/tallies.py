"""The counters and histograms of one route, model and key, as plain numbers."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily

# 50 ms for a short answer of a small model to 10 minutes for a long one of a large one.
SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
TOKENS_PER_SECOND = (1, 2, 5, 10, 20, 30, 40, 60, 80, 100, 150, 200, 400)


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
    reasoning_tokens: int = 0
    seconds: Distribution = field(default_factory=lambda: Distribution(SECONDS))
    first_token: Distribution = field(default_factory=lambda: Distribution(SECONDS))
    speed: Distribution = field(default_factory=lambda: Distribution(TOKENS_PER_SECOND))
