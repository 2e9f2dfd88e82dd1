"""Asks one LM Studio what the line must know: what others run on its instances."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import monotonic

from .. import background
from ..boxes.box import Box
from ..errors import GatewayError, ModelNotFound, UpstreamUnavailable
from .instances import Instances
from .line import Line
from .looks import Dispatch, EndWait, Looks
from .outside import CountTrust
from .slots import Instance

logger = logging.getLogger(__name__)

# How often an instance's requests are counted, at most, and only while a request waits or a slot lingers.
COUNT_SECONDS = 2.0
# LM Studio may not have read a request that was sent later than so long ago.
_UNSURE_SECONDS = 0.5


class Watch:
    """The owner of the task that counts, which runs while something waits, and of the looks.

    `has_drains` returns whether an instance is to be unloaded when nothing runs on it any more. The others as
    for Looks.
    """

    def __init__(
        self,
        line: Line,
        instances: Instances,
        box: Callable[[], Box],
        dispatch: Dispatch,
        *,
        came_up: Callable[[], None] = lambda: None,
        has_drains: Callable[[], bool] = lambda: False,
        has_residency: Callable[[], bool] = lambda: False,
        end: EndWait = lambda ticket, error: None,
    ) -> None:
        self._trust: dict[Instance, CountTrust] = {}
        self.looks = Looks(
            line,
            instances,
            box,
            dispatch,
            came_up=came_up,
            has_residency=has_residency,
            end=end,
            found=self._forget_trust,
        )
        self._line = line
        self._instances = instances
        self._box = box
        self._dispatch = dispatch
        self._has_drains = has_drains
        self._next_count = 0.0
        self._tasks = background.DetachedTasks()
        self._counting: asyncio.Task[None] | None = None

    def _forget_trust(self, instance: Instance) -> None:
        self._trust.pop(instance, None)

    async def close(self) -> None:
        await self._tasks.close()
        await self.looks.close()

    def attend(self, *, is_needed: bool = False) -> None:
        """Count the requests of the instances while a request waits or a slot lingers.

        `is_needed` as for Looks.attend.
        """
        self.looks.attend(is_needed=is_needed)
        if self._is_needed and (self._counting is None or self._counting.done()):
            self._counting = self._tasks.start(self._count_regularly())

    @property
    def _is_needed(self) -> bool:
        if self._box().is_left_alone:
            return False  # nothing of the gateway's runs there
        return bool(self._line.waiting) or self._line.lingering > 0 or self._has_drains()

    async def _count_regularly(self) -> None:
        while self._is_needed:
            await asyncio.sleep(max(self._next_count - monotonic(), 0.0))
            if self._box().is_left_alone:
                break
            self._next_count = monotonic() + COUNT_SECONDS
            self.looks.look(monotonic())  # LM Studio may have loaded what is waited for
            models = {waiter.ticket.model for waiter in self._line.waiting}
            box = self._box()
            self._trust = {one: trust for one, trust in self._trust.items() if one.is_listed}
            for instance in self._instances.listed(box.name):
                if instance.model in models or self._may_leave(instance):
                    await self._count(box, instance)
        for instance in self._instances.listed(self._box().name):
            self._forget_others(instance)

    def _may_leave(self, instance: Instance) -> bool:
        """True if something depends on whether anything runs on an instance that nobody waits for."""
        if instance.state != "resident" or any(lease.phase == "lingering" for lease in instance.leases):
            return True
        is_unwanted = instance.origin == "on-demand" and bool(self._line.waiting)
        return is_unwanted and any(waiter.reason == "model" for waiter in self._line.waiting)

    async def count_all(self, instance: Instance) -> int:
        """Return how many requests run on an instance, 0 if LM Studio can't say.

        Raises UpstreamUnavailable.
        """
        trust = self._trust.setdefault(instance, CountTrust())
        try:
            if not trust.is_lost:
                return await self._box().sdk.count_requests(instance.kind, instance.id.name)
        except UpstreamUnavailable:
            raise
        except ModelNotFound:
            return 0
        except GatewayError:  # it is logged where LM Studio is called
            trust.lose()
        return 0

    async def _count(self, box: Box, instance: Instance) -> None:
        trust = self._trust.setdefault(instance, CountTrust())
        if trust.is_lost:
            return
        leases, began = tuple(instance.leases), monotonic()
        try:
            counted = await box.sdk.count_requests(instance.kind, instance.id.name)
        except GatewayError as exc:
            if isinstance(exc, ModelNotFound):
                self.looks.doubt()  # somebody else has unloaded it
            elif not isinstance(exc, UpstreamUnavailable):
                trust.lose()
                logger.info("LM Studio can't say what others run on %s: %s", instance.id.name, exc)
            self._forget_others(instance)
            return
        if leases != tuple(instance.leases):
            return  # it is uncertain which of them are counted
        unsure = sum(began - lease.began < _UNSURE_SECONDS for lease in leases)
        lingering = sum(lease.phase == "lingering" for lease in leases)
        verdict = trust.look(max(len(leases) - unsure - lingering, 0), counted)
        if verdict == "use":
            self._take(instance, counted, unsure)
        elif verdict == "give up":
            logger.info(
                "LM Studio doesn't count all requests on %s, so what others run there isn't seen",
                instance.id.name,
            )
            self._forget_others(instance)

    def _forget_others(self, instance: Instance) -> None:
        """Leave no slot to the requests of others: from now on nothing tells when they end."""
        self._take(instance, len(instance.leases))

    def _take(self, instance: Instance, counted: int, unsure: int = 0) -> None:
        self._dispatch(self._line.observe(instance, counted, monotonic(), unsure=unsure))
