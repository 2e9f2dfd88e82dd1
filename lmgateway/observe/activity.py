"""What is being done and what was done: each exchange and each model operation begins and ends here, once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Literal

from ..errors import RETRY_SOON, GatewayError, Overloaded, RequestCancelled, UpstreamBroke
from ..schema.debug import Outcome, Status
from .clock import iso_timestamp, unix_time
from .events import ErrorEvent, Events, InferenceComplete, InferenceStart
from .exchange import Exchange, PastExchange
from .prometheus import Metrics
from .remembered import Remembered
from .speeds import Speeds

OperationType = Literal["model_load", "model_unload", "model_activate"]

RECENT_EXCHANGES = 100
_LEFT = "The client left before its answer was complete."
_STUDIOS_FAULT = "LM Studio ended its answer with an error."
_OUR_FAULT = "The gateway failed."


@dataclass(slots=True)
class Operation:
    """Something that is being done with a model. `progress` goes from 0 to 1.

    One that `found_nothing` to do isn't counted, and changes nothing of what is told of the one before.
    """

    type: OperationType
    model_key: str
    progress: float = 0.0
    found_nothing: bool = False
    started: float = field(default_factory=time.monotonic)
    timestamp: str = field(default_factory=iso_timestamp)

    @property
    def elapsed_ms(self) -> int:
        return round((time.monotonic() - self.started) * 1000)


class Activity:
    """The owner of what runs and what ran. It counts, remembers and publishes; nobody else does."""

    def __init__(self, events: Events, metrics: Metrics) -> None:
        self.events = events
        self.operations: list[Operation] = []
        self.running: dict[Exchange, None] = {}
        self.recent = Remembered(PastExchange, RECENT_EXCHANGES, Exchange.past)
        self.total_requests = 0
        self.total_errors = 0
        self._metrics = metrics
        self.speeds = Speeds()
        self._failed: Operation | None = None

    @property
    def status(self) -> Status:
        """`error` is a model operation that failed, until the next one begins."""
        if self.operations:
            return "loading_model"
        if any(exchange.generates for exchange in self.running):
            return "processing_inference"
        return "error" if self._failed is not None else "idle"

    @contextmanager
    def operation(self, kind: OperationType, model_key: str) -> Iterator[Operation]:
        """Run a model operation inside; whatever makes it fail is published as one `error` event."""
        operation = Operation(kind, model_key)
        self.operations.append(operation)
        failed_before = self._failed
        try:
            yield operation
        except GatewayError as exc:
            # What a client got wrong is nothing that went wrong here.
            if exc.status >= 500:
                self._failed = operation
            self._operation_ended(operation, exc.message)
            raise
        except asyncio.CancelledError:
            self._operation_ended(operation, "The gateway stopped waiting for it.")
            raise
        except Exception:  # a fault of ours, which is logged where it is rendered
            self._failed = operation
            self._operation_ended(operation, _OUR_FAULT)
            raise
        else:
            if not operation.found_nothing:
                self._metrics.operation(kind, succeeded=True)
        finally:
            self.operations.remove(operation)
            # Only what failed before this one began is over with it; another may have failed meanwhile.
            if self._failed is failed_before and not operation.found_nothing:
                self._failed = None

    def _operation_ended(self, operation: Operation, sentence: str) -> None:
        self._metrics.operation(operation.type, succeeded=False)
        self.events.publish(
            ErrorEvent(
                operation=operation.type,
                model_key=operation.model_key,
                error=sentence,
                total_time_ms=operation.elapsed_ms,
            )
        )

    def admit(self, most: int) -> None:
        """Raise Overloaded if so many proxied requests run already."""
        if len(self.running) >= most:
            raise Overloaded(
                f"{most} requests are running already, as many as limits.requests allows. Ask again later.",
                headers=RETRY_SOON,
            )

    def exchange(self, exchange: Exchange) -> AbstractContextManager[None]:
        """Run a proxied request inside.

        It ends completed, failed (a GatewayError left it or interrupted it, LM Studio answered 5xx or ended
        its stream with an error), cancelled (by an admin) or aborted (the client left).
        """
        return _Running(self, exchange)

    def _began(self, exchange: Exchange) -> None:
        self.running[exchange] = None
        self._metrics.began()

    def _ended(self, exchange: Exchange, exc: BaseException | None) -> None:
        del self.running[exchange]
        match exc:
            case None if exchange.count is not None and exchange.count.broke:
                self._fail(exchange, UpstreamBroke(_STUDIOS_FAULT))
            case None if exchange.status < 500:
                self._end(exchange, "completed")
            case None:
                self.total_errors += 1
                self._end(exchange, "failed")
            case GatewayError():
                self._fail(exchange, exc)
            case asyncio.CancelledError() if exchange.interruption is not None:
                self._fail(exchange, exchange.interruption)
            case asyncio.CancelledError() | ConnectionError():
                self._end(exchange, "aborted", _LEFT)
            case _:  # a fault of ours, which is logged where it is rendered
                self._fail(exchange, GatewayError(_OUR_FAULT))

    def announce(self, exchange: Exchange) -> None:
        """Tell that a request has begun, as soon as its model is known."""
        exchange.announced = True
        self.events.publish_made(InferenceStart.name, partial(_start, exchange, exchange.model, unix_time()))

    def prompt_progressed(self, fraction: float) -> None:
        """Take note of how much of a prompt LM Studio has processed, from 0 to 1.

        Its log doesn't say whose. Where only one request waits for its first token, it is that one's.
        """
        waiting = [
            exchange for exchange in self.running if exchange.generates and exchange.first_token is None
        ]
        if len(waiting) == 1:
            waiting[0].prompt_progress = fraction

    async def pack(self) -> None:
        """Let what is remembered take little memory."""
        await self.events.history.pack()
        await self.recent.pack()
        self.speeds.settle()
        self._metrics.count()

    def cancel(self, request_id: str) -> bool:
        """End a running request as if its client had left; return whether there was one of that id."""
        found = [exchange for exchange in self.running if exchange.request_id == request_id]
        for exchange in found:
            exchange.interrupt(RequestCancelled("The request was cancelled at the gateway."))
        return bool(found)

    def _fail(self, exchange: Exchange, error: GatewayError) -> None:
        self.total_errors += 1
        exchange.status, exchange.error = error.status, error
        outcome: Outcome = "cancelled" if isinstance(error, RequestCancelled) else "failed"
        self._end(exchange, outcome, exchange.redact(error.message))

    def _end(self, exchange: Exchange, outcome: Outcome, sentence: str | None = None) -> None:
        if not exchange.announced:
            self.announce(exchange)
        exchange.ended = time.monotonic()
        exchange.outcome = outcome
        self.total_requests += 1
        self.recent.add(exchange)
        self.speeds.add(exchange)
        self._metrics.ended(exchange)
        if sentence is None:
            self.events.publish_made(InferenceComplete.name, partial(_complete, exchange))
        else:
            self.events.publish_made(ErrorEvent.name, partial(_broken, exchange, sentence))


class _Running:
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


def _start(exchange: Exchange, model: str | None, announced: float) -> InferenceStart:
    return InferenceStart(
        timestamp=iso_timestamp(announced),
        request_id=exchange.request_id,
        method=exchange.method,
        path=exchange.path,
        model=model,
        client=exchange.client,
    )


def _complete(exchange: Exchange) -> InferenceComplete:
    return InferenceComplete(
        timestamp=iso_timestamp(exchange.ended_at),
        request_id=exchange.request_id,
        total_time_ms=exchange.total_ms,
        token_usage=exchange.count.usage if exchange.count else None,
        status=exchange.status,
        ttft_ms=exchange.ttft_ms,
        tokens_per_second=exchange.tokens_per_second,
        stream=exchange.stream,
    )


def _broken(exchange: Exchange, sentence: str) -> ErrorEvent:
    return ErrorEvent(
        timestamp=iso_timestamp(exchange.ended_at),
        operation="inference",
        request_id=exchange.request_id,
        error=sentence,
        total_time_ms=exchange.total_ms,
    )
