"""Prometheus' text format, made of tallies a few at a time."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from .. import __version__
from .tallies import Distribution, Tally

# The last one only where there are several boxes.
_LABELS = ("route", "model", "key", "box")
# How many items one piece of the text has. Histograms take longest, 2 ms.
PIECE_ITEMS = 20

Item = TypeVar("Item")

Labels = tuple[str, ...]
Tallies = Sequence[tuple[Labels, Tally]]
"""Tallies by the values of the labels, of which all have as many."""


def _names(tallies: Tallies) -> Labels:
    return _LABELS[: len(tallies[0][0])] if tallies else _LABELS


def _counts(
    name: str, text: str, label: str, of: Callable[[Tally], Counter[str]]
) -> Callable[[Tallies], Metric]:
    def family(tallies: Tallies) -> Metric:
        counts = counter(name, text, *_names(tallies), label)
        for labels, tally in tallies:
            for value, number in of(tally).items():
                counts.add_metric((*labels, value), number)
        return counts

    return family


def _total(name: str, text: str, of: Callable[[Tally], int]) -> Callable[[Tallies], Metric]:
    def family(tallies: Tallies) -> Metric:
        total = counter(name, text, *_names(tallies))
        for labels, tally in tallies:
            if number := of(tally):
                total.add_metric(labels, number)
        return total

    return family


def _distributions(name: str, text: str, of: Callable[[Tally], Distribution]) -> Callable[[Tallies], Metric]:
    def family(tallies: Tallies) -> Metric:
        histogram = HistogramMetricFamily(f"lmgateway_{name}", text, labels=_names(tallies))
        for labels, tally in tallies:
            if distribution := of(tally):
                distribution.add_to(histogram, labels)
        return histogram

    return family


_FAMILIES: tuple[Callable[[Tallies], Metric], ...] = (
    _counts("requests", "Proxied requests that ended", "status", attrgetter("by_status")),
    _total("aborted", "Proxied requests whose client left", lambda tally: tally.by_status["aborted"]),
    _counts("tokens", "Tokens", "direction", attrgetter("tokens")),
    # Part of the tokens "out", so not a direction of its own: the sum over all directions stays right.
    _total(
        "reasoning_tokens",
        "Tokens that LM Studio reports as reasoning",
        attrgetter("reasoning_tokens"),
    ),
    _distributions("request_seconds", "Time to the answer's end", attrgetter("seconds")),
    _distributions("time_to_first_token_seconds", "Time to the first token", attrgetter("first_token")),
    _distributions("tokens_per_second", "Tokens generated per second", attrgetter("speed")),
)


def of_tallies(tallies: Tallies) -> Iterator[bytes]:
    """Yield the text of these tallies in pieces, each of which takes a few milliseconds."""
    for family in _FAMILIES:
        yield from pieces(family, tallies)


def pieces(family: Callable[[Sequence[Item]], Metric], items: Sequence[Item]) -> Iterator[bytes]:
    """Yield the text of a family of these items in pieces, each of which takes a few milliseconds."""
    yield text_of(family([]))
    for start in range(0, len(items), PIECE_ITEMS):
        # Each text begins with the family's comments, which are needed once.
        yield text_of(family(items[start : start + PIECE_ITEMS])).split(b"\n", 2)[2]


class _Family:
    """An adapter: a registry takes collectors, not metric families."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> list[Metric]:
        return [self._family]


def text_of(family: Metric) -> bytes:
    """Return the text of one family."""
    registry = CollectorRegistry()
    registry.register(_Family(family))
    return generate_latest(registry)


def counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"lmgateway_{name}", text, labels=labels)


def gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"lmgateway_{name}", text, labels=labels)


def build_info() -> Metric:
    family = gauge("build_info", "Versions", "version", "python")
    family.add_metric((__version__, platform.python_version()), 1)
    return family
