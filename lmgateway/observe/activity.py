"""The running exchanges: each begins and ends here, once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType

from ..config import Limits
from ..schema.debug import Status
from .capacity import Capacity
from .event_stream import Events
from .exchange import Exchange
from .history import History
from .operations import ModelOperation, Operations, OperationType
from .prometheus import Metrics
from .record import RequestRecord
from .recorder import Recorder
from .served_model import ModelOf


class Activity:
    """The owner of the running exchanges; the recorder owns those that ended."""

    def __init__(self, events: Events, metrics: Metrics, model_of: ModelOf = str) -> None:
        """`model_of` decides whether the model that answered is the one that was asked for."""
        self.events = events
        self.faults = events.faults
        self.operations = Operations(events, metrics)
        # The value is whether the exchange's inference_start was published.
        self._running: dict[Exchange, bool] = {}
        self._capacity = Capacity(
            "{} requests are running already, as many as limits.requests allows.",
            "{} requests of this address are running already, as many as limits.requests_per_address allows.",
        )
        self.model_of = model_of
        self._recorder = Recorder(events, model_of)
        self._end_listeners: list[Callable[[Exchange], None]] = []

    @property
    def running(self) -> tuple[Exchange, ...]:
        return tuple(self._running)

    @property
    def status(self) -> Status:
        """Return the status; `error` if the last model operation failed and no new one has begun."""
        if self.operations.running:
            return "loading_model"
        if any(exchange.generates for exchange in self._running):
            return "processing_inference"
        return "error" if self.operations.has_failed else "idle"

    @property
    def history(self) -> History:
        return self._recorder.history

    @property
    def total_requests(self) -> int:
        return self._recorder.ended

    @property
    def total_errors(self) -> int:
        return self._recorder.errors + self.operations.errors

    @property
    def error_rate(self) -> float:
        """The share of requests and model operations that ended with an error, from 0 to 1."""
        ended = self.total_requests + self.operations.ended
        return self.total_errors / ended if ended else 0.0

    def flush(self) -> None:
        """Update metrics and events for all exchanges that have ended."""
        self._recorder.flush()

    def add_consumer(self, consumer: Callable[[RequestRecord], None]) -> None:
        """Call `consumer` with the record of each exchange that ends."""
        self._recorder.add_consumer(consumer)

    def add_end_listener(self, listener: Callable[[Exchange], None]) -> None:
        """Call `listener` at once with each exchange that ends.

        A record is up to 50 ms late, in which a key's next request could exceed the key's limits.
        """
        self._end_listeners.append(listener)

    def operation(self, kind: OperationType, model_key: str) -> AbstractContextManager[ModelOperation]:
        """Run a model operation inside."""
        return self.operations.run(kind, model_key)

    def exchange(self, exchange: Exchange, limits: Limits) -> AbstractContextManager[None]:
        """Run an exchange inside; its record is made when the block is left, however that happens.

        Entering it raises Overloaded if no more exchanges may run, in all or of this client's address.
        """
        return _Running(self, exchange, limits)

    def announce(self, exchange: Exchange) -> None:
        """Publish that an exchange has begun, as soon as its model is known."""
        self._running[exchange] = True
        try:
            self._recorder.exchange_began(exchange)
        except Exception:  # a fault in recording a request doesn't fail it
            self.faults.log("Recording the beginning of a request")

    def prompt_progressed(self, box: str, fraction: float) -> None:
        """Record how much of a prompt a box has processed, from 0 to 1.

        LM Studio's log doesn't identify the request, so this has an effect only if exactly one exchange on
        this box waits for its first token.
        """
        waiting = [
            exchange
            for exchange in self._running
            if exchange.generates and exchange.first_token is None and exchange.box in {box, ""}
        ]
        if len(waiting) == 1:
            waiting[0].prompt_progressed(fraction)

    def find(self, request_id: str) -> list[Exchange]:
        """Return the running exchanges of requests with this id, which clients may choose."""
        return [exchange for exchange in self._running if exchange.request_id == request_id]

    def _ended(self, exchange: Exchange, exc: BaseException | None) -> None:
        is_announced = self._running.pop(exchange)
        self._capacity.give_back(exchange.client, 1)
        for listener in self._end_listeners:
            try:
                listener(exchange)
            except Exception:  # as above
                self.faults.log("Counting a request that has ended")
        try:
            if not is_announced:
                self._recorder.exchange_began(exchange)
            self._recorder.exchange_ended(exchange, exc)
        except Exception:  # as above
            self.faults.log("Recording the end of a request")


class _Running:
    # Not a generator with contextlib's decorator, which takes 0.5 µs more.
    __slots__ = ("_activity", "_exchange", "_limits")

    def __init__(self, activity: Activity, exchange: Exchange, limits: Limits) -> None:
        self._activity = activity
        self._exchange = exchange
        self._limits = limits

    def __enter__(self) -> None:
        activity, exchange, limits = self._activity, self._exchange, self._limits
        activity._capacity.claim(exchange.client, 1, limit=limits.requests, share=limits.share_of_requests)
        activity._running[exchange] = False
        exchange.has_begun = True

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._activity._ended(self._exchange, exc)
