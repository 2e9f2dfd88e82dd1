"""LM Studio's unloads, for the residency and for those who ask for one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Protocol

from ... import background
from ...boxes.box import Box
from ...errors import GatewayError
from ...models.memory import Drain
from ...observe.activity import Activity
from ..slots import Instance, Lease
from . import calls, refusals
from .askers import Askers
from .effects import Unload, Unloaded
from .ownership import Ownership
from .residency import Residency

logger = logging.getLogger(__name__)


class Decider(Protocol):
    """The scheduler, as the unloads see it."""

    def dispatch(self, leases: Iterable[Lease]) -> None:
        """Let these requests run, and have everything decided anew."""


class Unloads:
    """The owner of the unloads in progress, and of who waits for one. `box` returns the one in force."""

    def __init__(
        self,
        residency: Residency,
        ownership: Ownership,
        decider: Decider,
        *,
        box: Callable[[], Box],
        activity: Activity,
        count: calls.Count,
    ) -> None:
        self._residency = residency
        self._ownership = ownership
        self._decider = decider
        self._box = box
        self._activity = activity
        self._count = count
        self._tasks = background.DetachedTasks()
        self._askers = Askers()
        self._running: dict[Instance, asyncio.Task[None]] = {}

    async def close(self) -> None:
        await self._tasks.close()

    def start(self, unload: Unload) -> None:
        self._running[unload.instance] = self._tasks.start(self._unload(unload))

    def of(self, instance: Instance) -> asyncio.Task[None] | None:
        """Return the unload of an instance that is in progress."""
        return self._running.get(instance)

    async def _unload(self, unload: Unload) -> None:
        instance, outcome = unload.instance, Unloaded("failed")
        try:
            if instance not in self._askers and await self._ownership.is_lost(instance):
                outcome = Unloaded("kept")
            else:
                count = None if unload.is_forced else self._count
                outcome = await calls.unload(instance, self._box(), self._activity, count)
        except Exception:
            logger.exception("unloading %s failed", instance.id.name)
        if outcome.outcome == "gone":
            self._ownership.forget(instance)
        del self._running[instance]
        self._residency.unload_ended(instance, outcome, monotonic())
        # Before what is decided now: the end of its drain is an outcome, too.
        self.tell(instance, outcome)
        self._decider.dispatch(())

    async def ask(self, instance: Instance, drain: Drain) -> None:
        """Unload an instance when its requests have ended, or at once. Raises as ModelMemory.unload."""
        asker = self._askers.add(instance)
        try:
            self._residency.ask_to_unload(instance, force=drain.force)
            self._decider.dispatch(())
            await asker.wait(drain)
            if asker.outcome.done() or instance.state != "draining":
                unloaded = await asker.outcome
            else:
                unloaded = Unloaded("busy")
            refusals.check_unloaded(instance, unloaded, drain)
        finally:
            if self._askers.remove(instance, asker):
                self._residency.take_back(instance, monotonic())
                self._decider.dispatch(())

    def tell(self, instance: Instance, outcome: Unloaded) -> None:
        """Tell those who wait for an instance's unload what came of it."""
        self._askers.tell(instance, outcome)

    def end_drains(self, error: GatewayError) -> None:
        """End the wait for instances that drain: the gateway is stopping."""
        self._askers.end_drains(error)
