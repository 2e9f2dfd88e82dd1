"""What runs and what ran: each exchange begins and ends here, once."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from types import TracebackType

from msgspec import UNSET

from ..errors import RETRY_SOON, Overloaded, RequestCancelled
from ..schema.debug import Status
from .clock import iso_timestamp
from .event_stream import Events
from .events import ErrorEvent, Event, InferenceComplete, InferenceStart
from .exchange import Exchange
from .history import History
from .operations import Operation, Operations, OperationType
from .prometheus import Metrics
from .record import RequestRecord, make_record

_CLIENT_LEFT = "The client left before its answer was complete."


class Activity:
    """The owner of the running exchanges. An ended one is a record, which it hands to all that read it."""

    def __init__(self, events: Events, metrics: Metrics) -> None:
        self.events = events
        self.operations = Operations(events, metrics)
        self.history = History()
        self.total_requests = 0
        # Each with whether its inference_start is published.
        self._running: dict[Exchange, bool] = {}
        self._failed_requests = 0
        self._metrics = metrics

    @property
    def running(self) -> tuple[Exchange, ...]:
        return tuple(self._running)

    @property
    def status(self) -> Status:
        """`error` is a model operation that failed, until the next one begins."""
        if self.operations.running:
            return "loading_model"
        if any(exchange.generates for exchange in self._running):
            return "processing_inference"
        return "error" if self.operations.has_failed else "idle"

    @property
    def total_errors(self) -> int:
        return self._failed_requests + self.operations.errors

    @property
    def error_rate(self) -> float:
        """The share of requests and model operations that ended with an error, from 0 to 1."""
        ended = self.total_requests + self.operations.ended
        return self.total_errors / ended if ended else 0.0

    def operation(self, kind: OperationType, model_key: str) -> AbstractContextManager[Operation]:
        """Run a model operation inside."""
        return self.operations.run(kind, model_key)

    def admit(self, limit: int) -> None:
        """Raise Overloaded if as many exchanges run already."""
        if len(self._running) >= limit:
            raise Overloaded(
                f"{limit} requests are running already, as many as limits.requests allows. Ask again later.",
                headers=RETRY_SOON,
            )

    def exchange(self, exchange: Exchange) -> AbstractContextManager[None]:
        """Run an exchange inside; its record is made when the block is left, however that happens."""
        return _Running(self, exchange)

    def announce(self, exchange: Exchange) -> None:
        """Publish that an exchange has begun, as soon as its model is known."""
        self._running[exchange] = True
        self.events.publish(
            InferenceStart(
                request_id=exchange.request_id,
                method=exchange.method,
                path=exchange.path,
                model=exchange.model,
                client=exchange.client,
                key=exchange.key,
            )
        )

    def prompt_progressed(self, fraction: float) -> None:
        """Note how much of a prompt LM Studio has processed, from 0 to 1.

        Its log doesn't say whose. If exactly one exchange waits for its first token, it is that one's.
        """
        waiting = [
            exchange for exchange in self._running if exchange.generates and exchange.first_token is None
        ]
        if len(waiting) == 1:
            waiting[0].prompt_progressed(fraction)

    def cancel(self, request_id: str) -> bool:
        """Cancel the running exchanges of this request; return whether there were any."""
        matching = [exchange for exchange in self._running if exchange.request_id == request_id]
        for exchange in matching:
            exchange.cancellation.interrupt(RequestCancelled("The request was cancelled at the gateway."))
        return bool(matching)

    def _began(self, exchange: Exchange) -> None:
        self._running[exchange] = False

    def _ended(self, exchange: Exchange, exc: BaseException | None) -> None:
        if not self._running[exchange]:
            self.announce(exchange)
        del self._running[exchange]
        record = make_record(exchange, exc, time.monotonic())
        self.total_requests += 1
        self._failed_requests += record.is_error
        self.history.add(record)
        self._metrics.ended(record)
        self.events.publish(_end_event(record))


class _Running:
    # Not contextlib's, whose generator takes 0.6 µs more.
    __slots__ = ("_activity", "_exchange")

    def __init__(self, activity: Activity, exchange: Exchange) -> None:
        self._activity = activity
        self._exchange = exchange

    def __enter__(self) -> None:
        self._activity._began(self._exchange)

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._activity._ended(self._exchange, exc)


def _end_event(record: RequestRecord) -> Event:
    """Return the one event that an exchange ends with: an answer of LM Studio's, or an error."""
    ended = iso_timestamp(record.ended)
    error = _CLIENT_LEFT if record.outcome == "aborted" else record.error
    if error is None:
        return InferenceComplete(
            timestamp=ended,
            request_id=record.request_id,
            total_time_ms=record.total_ms,
            token_usage=record.usage,
            status=record.status,
            ttft_ms=record.ttft_ms,
            tokens_per_second=record.tokens_per_second,
            stream=record.stream,
            key=record.key,
        )
    return ErrorEvent(
        timestamp=ended,
        operation="inference",
        request_id=record.request_id,
        error=error,
        code=record.error_code or UNSET,
        total_time_ms=record.total_ms,
    )
