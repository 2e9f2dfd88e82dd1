"""A model in memory."""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from . import load_config
from .catalogue import Model
from .faults import InstanceUnloaded

Status = Literal["processingPrompt", "generating", "computingEmbedding"]


class Use:
    """A request that runs on an instance."""

    def __init__(self, status: Status) -> None:
        self.status = status


class Instance:
    """A loaded instance, which unloads itself after `ttl_seconds` without a request."""

    def __init__(
        self,
        model: Model,
        identifier: str,
        settings: load_config.Settings,
        *,
        ttl_seconds: float | None,
        on_idle: Callable[["Instance"], None],
    ) -> None:
        self.model = model
        self.identifier = identifier
        self.settings = settings
        self.ttl_seconds = ttl_seconds
        self.reference = str(uuid.uuid4())
        self.loaded = True
        self.last_used_ms: int | None = None
        self._on_idle = on_idle
        self._uses: list[Use] = []
        self._timer: asyncio.TimerHandle | None = None
        self._start_idling()

    @property
    def context_length(self) -> int:
        return load_config.context_length(self.settings, self.model.type)

    @contextmanager
    def use(self, status: Status) -> Iterator[Use]:
        """Keep the instance from becoming idle."""
        self.check_loaded()
        use = Use(status)
        self._uses.append(use)
        self._stop_idling()
        try:
            yield use
        finally:
            self._uses.remove(use)
            self.last_used_ms = time.time_ns() // 1_000_000
            if not self._uses:
                self._start_idling()

    def processing_state(self) -> dict[str, object]:
        """`{"status":"idle"|…,"queued":n}`; n counts the current request too."""
        status = self._uses[0].status if self._uses else "idle"
        return {"status": status, "queued": len(self._uses)}

    def check_loaded(self) -> None:
        """Raise InstanceUnloaded if the instance was unloaded."""
        if not self.loaded:
            raise InstanceUnloaded

    def leave(self) -> None:
        """Mark it unloaded; running generations raise InstanceUnloaded at their next token."""
        self.loaded = False
        self._stop_idling()

    def _start_idling(self) -> None:
        if self.ttl_seconds is not None and self.loaded:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self.ttl_seconds, self._on_idle, self)

    def _stop_idling(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
