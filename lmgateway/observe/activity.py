"""What is being done: each model operation begins and ends here, and its failure is told once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from ..errors import GatewayError
from .events import ErrorEvent, Events

OperationType = Literal["model_load", "model_unload", "model_activate"]


@dataclass(slots=True)
class Operation:
    """Something that is being done with a model. `progress` goes from 0 to 1."""

    type: OperationType
    model_key: str
    progress: float = 0.0
    started: float = field(default_factory=time.monotonic)

    @property
    def elapsed_ms(self) -> int:
        return round((time.monotonic() - self.started) * 1000)


class Activity:
    """The owner of what runs."""

    def __init__(self, events: Events) -> None:
        self.events = events
        self._running: list[Operation] = []

    @contextmanager
    def operation(self, kind: OperationType, model_key: str) -> Iterator[Operation]:
        """Run a model operation inside; a GatewayError that leaves it is published as one `error` event."""
        operation = Operation(kind, model_key)
        self._running.append(operation)
        try:
            yield operation
        except GatewayError as exc:
            self._publish_error(operation, exc.message)
            raise
        except asyncio.CancelledError:
            self._publish_error(operation, "The gateway stopped waiting for it.")
            raise
        finally:
            self._running.remove(operation)

    def _publish_error(self, operation: Operation, sentence: str) -> None:
        self.events.publish(
            ErrorEvent(
                operation=operation.type,
                model_key=operation.model_key,
                error=sentence,
                total_time_ms=operation.elapsed_ms,
            )
        )
