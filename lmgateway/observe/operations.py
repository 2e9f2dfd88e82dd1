"""Model operations: each begins and ends here, and a failed one is counted once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from msgspec import UNSET

from ..errors import INTERNAL_FAILURE, GatewayError
from ..text import clean_sentence
from .clock import iso_timestamp
from .event_stream import Events
from .events import ErrorEvent
from .prometheus import Metrics

OperationType = Literal["model_load", "model_unload", "model_activate"]

_INTERRUPTED = "The gateway stopped waiting for it."


@dataclass(slots=True)
class ModelOperation:
    """A change to a model, in progress. `progress` goes from 0 to 1.

    One that `changed_nothing` isn't counted, and leaves the state of the operation before it.
    """

    type: OperationType
    model_key: str
    progress: float = 0.0
    changed_nothing: bool = False
    started: float = field(default_factory=time.monotonic)
    timestamp: str = field(default_factory=iso_timestamp)

    @property
    def elapsed_ms(self) -> int:
        return round((time.monotonic() - self.started) * 1000)


class Operations:
    """The owner of the running model operations and of the counts of those that ended."""

    def __init__(self, events: Events, metrics: Metrics) -> None:
        self.running: list[ModelOperation] = []
        self.ended = 0
        self.errors = 0
        self._events = events
        self._metrics = metrics
        self._failed: ModelOperation | None = None

    @property
    def has_failed(self) -> bool:
        """True if an operation has failed and no new one has begun since."""
        return self._failed is not None

    @contextmanager
    def run(self, kind: OperationType, model_key: str) -> Iterator[ModelOperation]:
        """Run a model operation inside; an exception that leaves the block is one `error` event."""
        operation = ModelOperation(kind, model_key)
        self.running.append(operation)
        failed_before = self._failed
        try:
            yield operation
        except GatewayError as exc:
            self._fail(operation, exc)
            raise
        except asyncio.CancelledError:
            self._publish(operation, _INTERRUPTED)
            raise
        except Exception:  # logged where it is rendered
            self._fail(operation, GatewayError(INTERNAL_FAILURE))
            raise
        else:
            if not operation.changed_nothing:
                self._count(kind, succeeded=True)
        finally:
            self.running.remove(operation)
            if not operation.changed_nothing:
                self.ended += 1
                # Clear a failure from before this operation, but not one that happened during it.
                if self._failed is failed_before:
                    self._failed = None

    def _fail(self, operation: ModelOperation, error: GatewayError) -> None:
        # A client's mistake isn't counted as an error of the gateway.
        if error.status >= 500:
            self._failed = operation
            self.errors += 1
        self._publish(operation, error.message, error.code)

    def _count(self, kind: OperationType, *, succeeded: bool) -> None:
        try:
            self._metrics.operation(kind, succeeded=succeeded)
        except Exception:  # a fault in counting an operation doesn't fail it
            self._events.faults.log("Counting a model operation")

    def _publish(self, operation: ModelOperation, message: str, code: str | None = None) -> None:
        self._count(operation.type, succeeded=False)
        self._events.publish(
            ErrorEvent(
                operation=operation.type,
                model_key=operation.model_key,
                error=clean_sentence(message),
                code=code or UNSET,
                total_time_ms=operation.elapsed_ms,
            )
        )
