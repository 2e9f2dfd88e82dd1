"""What Prometheus is told, on a registry of its own."""

from __future__ import annotations

import asyncio
import platform
from typing import TypeVar, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from .. import __version__
from ..errors import UpstreamUnavailable
from .exchange import Exchange

# 50 ms for a short answer of a small model to 10 minutes for a long one of a large one.
SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
TOKENS_PER_SECOND = (1, 2, 5, 10, 20, 30, 40, 60, 80, 100, 150, 200, 400)
# Clients choose model names. One that isn't among the first so many that LM Studio answered to is "other".
MAX_MODEL_LABELS = 50
OTHER = "other"
_LABELS = ("route", "model")
M = TypeVar("M", Counter, Histogram)


class Metrics:
    """The owner of what is counted for Prometheus."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._models: set[str] = set()
        self._worst_lag = 0.0
        self._children: dict[tuple[object, tuple[str, ...]], object] = {}

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"lmgateway_{name}", text, _LABELS, buckets=buckets, registry=registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"lmgateway_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"lmgateway_{name}", text, labels, registry=registry)

        self._requests = counter("requests", "Proxied requests that ended", *_LABELS, "status")
        self._aborted = counter("aborted", "Proxied requests whose client left", *_LABELS)
        self._tokens = counter("tokens", "Tokens", *_LABELS, "direction")
        self._operations = counter("model_operations", "Model operations", "operation", "result")
        self._duration = histogram("request_seconds", "Time to the answer's end", SECONDS)
        self._first_token = histogram("time_to_first_token_seconds", "Time to the first token", SECONDS)
        self._speed = histogram("tokens_per_second", "Tokens generated per second", TOKENS_PER_SECOND)
        self._in_flight = gauge("in_flight", "Proxied requests that run")
        self._reachable = gauge("upstream_reachable", "Whether LM Studio answered when it was last asked")
        self._lag = gauge("event_loop_lag_seconds", "How late the event loop was at worst since last asked")
        self._tasks = gauge("tasks", "Tasks of the event loop")
        self._subscribers = gauge("event_subscribers", "Readers of /debug/stream")
        self._lost = gauge("events_lost", "Events that slow readers of /debug/stream lost")
        gauge("build_info", "Versions", "version", "python").labels(
            __version__, platform.python_version()
        ).set(1)

    def began(self) -> None:
        self._in_flight.inc()

    def ended(self, exchange: Exchange) -> None:
        """Count an exchange with all that is known about it."""
        self._in_flight.dec()
        self._reachable.set(not isinstance(exchange.error, UpstreamUnavailable))
        labels = (exchange.route, self._model_label(exchange))
        if exchange.outcome == "aborted":
            self._of(self._aborted, *labels).inc()
        status = "aborted" if exchange.outcome == "aborted" else f"{exchange.status // 100}xx"
        self._of(self._requests, *labels, status).inc()
        self._of(self._duration, *labels).observe(exchange.total_ms / 1000)
        if exchange.ttft_ms is not None:
            self._of(self._first_token, *labels).observe(exchange.ttft_ms / 1000)
        if exchange.tokens_per_second is not None:
            self._of(self._speed, *labels).observe(exchange.tokens_per_second)
        usage = exchange.count.usage if exchange.count else None
        if usage is not None:
            self._of(self._tokens, *labels, "in").inc(usage.prompt_tokens)
            self._of(self._tokens, *labels, "out").inc(usage.completion_tokens)

    def _of(self, metric: M, *labels: str) -> M:
        """Return the metric's child for these labels; prometheus_client's own look-up costs far more."""
        child = self._children.get((metric, labels))
        if child is None:
            child = self._children[metric, labels] = metric.labels(*labels)
        return cast("M", child)

    def operation(self, kind: str, *, succeeded: bool) -> None:
        self._operations.labels(kind, "success" if succeeded else "failure").inc()

    def lag(self, seconds: float) -> None:
        self._worst_lag = max(self._worst_lag, seconds)

    def render(self, *, subscribers: int, lost_events: int) -> bytes:
        """Return the text format."""
        self._lag.set(self._worst_lag)
        self._worst_lag = 0.0
        self._tasks.set(len(asyncio.all_tasks()))
        self._subscribers.set(subscribers)
        self._lost.set(lost_events)
        return generate_latest(self._registry)

    def _model_label(self, exchange: Exchange) -> str:
        name = exchange.model
        if name is None:
            return ""
        if exchange.status == 200 and len(self._models) < MAX_MODEL_LABELS:
            self._models.add(name)
        return name if name in self._models else OTHER
