"""A model in memory."""

import asyncio
import time
import uuid
from collections.abc import Callable

from . import load_config
from .catalogue import Model
from .faults import Fault, InstanceUnloaded, ModelCrashed
from .load_records import Origin
from .slots import Slots, Status, Use


class Instance:
    """A loaded instance, which unloads itself after `ttl_seconds` without a request."""

    def __init__(
        self,
        model: Model,
        identifier: str,
        settings: load_config.Settings,
        slots: Slots,
        *,
        origin: Origin,
        ttl_seconds: float | None,
        on_idle: Callable[["Instance"], None],
        on_crash: Callable[["Instance"], None] | None = None,
    ) -> None:
        """`on_crash` is called when a second request gets a slot beside a first; None if it runs two."""
        self.model = model
        self.identifier = identifier
        self.settings = settings
        self.slots = slots
        self.origin = origin
        self.ttl_seconds = ttl_seconds
        self.reference = str(uuid.uuid4())
        self.loaded = True
        self.last_used_ms: int | None = None
        self._on_idle = on_idle
        self._on_crash = on_crash
        self._timer: asyncio.TimerHandle | None = None
        self._start_idling()

    @property
    def context_length(self) -> int:
        return load_config.context_length(self.settings, self.model.type)

    def begin(self, status: Status) -> Use:
        """Enter a request, which gets a slot or waits for one, until `end()`. It prevents idling."""
        self.check_loaded()
        self._stop_idling()
        use = Use(status)
        self.slots.join(use)
        if self._on_crash is not None and len(self.slots.running) > 1:
            self._on_crash(self)
        return use

    def end(self, use: Use) -> None:
        self.slots.leave(use)
        self.last_used_ms = time.time_ns() // 1_000_000
        if not self.slots.uses:
            self._start_idling()

    def processing_state(self) -> dict[str, object]:
        """`{"status":"idle"|…,"queued":n}`; n counts the requests in slots and those that wait for one."""
        uses = self.slots.uses
        return {"status": uses[0].status if uses else "idle", "queued": len(uses)}

    def check_loaded(self) -> None:
        """Raise InstanceUnloaded if the instance was unloaded."""
        if not self.loaded:
            raise InstanceUnloaded

    def leave(self, *, crashed: bool = False) -> None:
        """Mark it unloaded; requests that wait for a slot fail at once, the others at their next token."""
        self.loaded = False
        self._stop_idling()
        fault: Callable[[], Fault] = ModelCrashed if crashed else InstanceUnloaded
        self.slots.end_all(fault)

    def _start_idling(self) -> None:
        self._stop_idling()
        if self.ttl_seconds is not None and self.loaded:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self.ttl_seconds, self._on_idle, self)

    def _stop_idling(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
