"""What comes of measuring one target, in numbers."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from .accounts import Spent

T = TypeVar("T")
MEGABYTE = 1024**2
KILOBYTE = 1024


class Percentiles(Struct, frozen=True):
    """Of nanoseconds, in milliseconds."""

    p50: float
    p99: float
    worst: float

    @classmethod
    def of(cls, nanoseconds: Iterable[int]) -> Percentiles:
        """Raises ValueError if there are none."""
        ordered = sorted(nanoseconds)
        if not ordered:
            raise ValueError("nothing was measured")
        at = [ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.99, 1)]
        return cls(*(value / 1e6 for value in at))


class Busy(Struct, frozen=True):
    """How much of a core each used, in percent. The studio and the load are on one together.

    `others` had no part in it, and are to blame for what is odd.
    """

    target: float
    studio: float
    load: float
    others: float

    @classmethod
    def of(cls, spent: Spent) -> Busy:
        others = max(0.0, spent.all - spent.target - spent.studio - spent.load)
        parts = (spent.target, spent.studio, spent.load, others)
        return cls(*(100 * part / spent.seconds for part in parts))


class OfRequests(Struct, frozen=True):
    """As many plain requests as go. `cpu_us` is the target's processor time for each."""

    per_second: float
    cpu_us: float
    busy: Busy


class OfStreams(Struct, frozen=True):
    """Streams that were open at once, `open` of them to the end. `cpu_us` is for each token meanwhile.

    `delay_ms` is of a token, from LM Studio to the client; `added_gap_ms` is how much further apart than they
    were sent two tokens arrived; `largest_gap_ms` is between any two. `stream_kb` is the memory of each.
    """

    number: int
    open: int
    tokens_per_second: float
    cpu_us: float
    delay_ms: Percentiles
    added_gap_ms: Percentiles
    largest_gap_ms: float
    stream_kb: float
    whole: int
    cut: int
    lost_tokens: int
    busy: Busy


class Figures(Struct, frozen=True):
    """Everything about one target. Latency is of requests one after the other; memory is resident, in MB."""

    name: str
    title: str
    requests: OfRequests
    streams: OfStreams
    latency_ms: Percentiles
    first_token_ms: Percentiles
    idle_mb: float
    after_mb: float


def median(rounds: Sequence[T]) -> T:
    """Return what is between the rounds, number by number."""
    return msgspec.convert(_median([msgspec.to_builtins(each) for each in rounds]), type(rounds[0]))


def _median(values: Sequence[Any]) -> Any:
    first = values[0]
    if isinstance(first, dict):
        return {name: _median([value[name] for value in values]) for name in first}
    if isinstance(first, int):
        return statistics.median_high(values)
    return statistics.median(values) if isinstance(first, float) else first
