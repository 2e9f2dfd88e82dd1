"""Asks one LM Studio which models are in memory, and lets no request run by a list that may be wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from time import monotonic

from .. import background
from ..boxes.box import Box
from ..errors import GatewayError, UpstreamNotReached, UpstreamUnavailable
from .instances import Instances
from .line import Line
from .slots import Instance, Lease
from .tickets import Ticket

# How often the list of models is requested, at most, and only by requests.
LOOK_SECONDS = 5.0
# How often LM Studio is asked whether it has come up, while models are pinned.
PIN_SECONDS = 10.0
# While its SDK can't be reached, details are requested with pauses that grow: each attempt takes some 10 ms.
FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 60.0
# The first pause before it is asked again, and how long requests wait for an LM Studio that can't be reached.
RETRY_SECONDS = 0.1
PATIENCE_SECONDS = 0.3
# In this time it is known whether a box is up that is greeted.
PRESENCE_SECONDS = 15.0

Dispatch = Callable[[Iterable[Lease]], None]
EndWait = Callable[[Ticket, GatewayError], None]


class Looks:
    """The owner of the tasks that ask one box, and of the doubt whether its last list is right.

    `box` returns the one in force. `came_up` is called when LM Studio answers for the first time, or again.
    `has_residency` returns whether LM Studio must only be sent requests for what it has in memory. `end` ends
    the wait of a request that has left the line. `found` is called with each instance of which details are
    requested.
    """

    def __init__(
        self,
        line: Line,
        instances: Instances,
        box: Callable[[], Box],
        dispatch: Dispatch,
        *,
        came_up: Callable[[], None],
        has_residency: Callable[[], bool],
        end: EndWait,
        found: Callable[[Instance], None],
    ) -> None:
        self._line = line
        self._instances = instances
        self._box = box
        self._dispatch = dispatch
        self._came_up = came_up
        self._has_residency = has_residency
        self._end = end
        self._found = found
        self.next_look = 0.0
        self._is_up = False
        # When details are requested again, after the SDK couldn't be reached.
        self._details_at, self._details_pause = 0.0, FIRST_PAUSE_SECONDS
        # How often the list has become doubtful.
        self._doubts = 0
        self._tasks = background.DetachedTasks()
        self._settling: asyncio.Task[None] | None = None
        self._is_awaited = False  # whether a request has waited for that
        self._woken = asyncio.Event()

    async def close(self) -> None:
        await self._tasks.close()

    # ── Looks ──────────────────────────────────────────────────────────────────────────────────────────────

    def start_over(self) -> None:
        """Take in that LM Studio has another address: it hasn't answered there yet."""
        self._is_up, self.next_look, self._details_at = False, 0.0, 0.0

    def wake(self) -> None:
        """Have it decided again whether to look without a request."""
        self._woken.set()

    def look(self, now: float) -> None:
        """Have the list of models refreshed if it isn't fresh: LM Studio may have loaded or unloaded one.

        Details are also requested of instances that somebody else's request for the list has found. There is
        nothing to do before `next_look`.
        """
        if now >= self.next_look:
            self.next_look = now + LOOK_SECONDS
            box = self._box()
            if box.is_left_alone:
                return
            if not (self._is_up and box.catalogue.is_fresh) or self._unlearned(box, now):
                self._tasks.start(self._look(box))

    async def look_regularly(self, is_needed: Callable[[], bool]) -> None:
        """Look also without a request, while that is needed; often after LM Studio was lost."""
        pause = RETRY_SECONDS
        while True:
            self._woken.clear()
            if self._box().is_left_alone or not is_needed():
                await self._woken.wait()
                continue
            if self._is_up:
                self.look(monotonic())
            else:
                await self._look(self._box())
            pause = PIN_SECONDS if self._is_up else min(2 * pause, PIN_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()
                pause = RETRY_SECONDS

    async def _look(self, box: Box) -> None:
        await self._read(box)
        for instance in self._unlearned(box, monotonic()):
            self._found(instance)
            try:
                details = await box.sdk.details(instance.kind, instance.id.name)
            except UpstreamUnavailable:
                self._instances.put_unreachable(box.name)
                self._details_at = monotonic() + self._details_pause
                self._details_pause = min(2 * self._details_pause, LONGEST_PAUSE_SECONDS)
                return
            except GatewayError:  # it is logged where LM Studio is called
                self._instances.put_nothing(instance)
            else:
                self._details_pause = FIRST_PAUSE_SECONDS
                self._dispatch(self._instances.put_details(instance, details))

    def _unlearned(self, box: Box, now: float) -> Sequence[Instance]:
        """Return the instances of which details are to be requested now."""
        return self._instances.unlearned(box.name) if now >= self._details_at else ()

    async def _read(self, box: Box) -> GatewayError | None:
        """Have the list renewed if it isn't fresh; return why that has failed."""
        doubts, failure = self._doubts, None
        try:
            await box.fresh_models()
        except GatewayError as exc:  # it is logged where LM Studio is called
            failure = exc
        self._instances.set_blind(box.name, failure is not None)
        await asyncio.sleep(0)  # the line takes in the new list
        if doubts == self._doubts and box.catalogue is self._box().catalogue:
            was_up, self._is_up = self._is_up, failure is None
            if self._is_up and not was_up:
                self._came_up()  # first: what has failed until now doesn't count any more
            if self._is_up:
                self._end_doubt()
        return failure

    # ── Doubts ─────────────────────────────────────────────────────────────────────────────────────────────

    def lost(self) -> None:
        """Take in that LM Studio may have been started again, with nothing in memory."""
        self._is_up, self._details_at = False, 0.0
        self._woken.set()
        if self._settling is not None and self._box().is_watched:
            self._settling.cancel()  # it may wait for an answer of the one that has gone
            self._settling = None
        self.doubt()

    def rests(self) -> None:
        """Take in that nothing is sent to an idle box any more, or that it is used again.

        Then it isn't known any more what it has in memory.
        """
        self._woken.set()
        self.doubt()

    def doubt(self) -> None:
        """Let no request run before the list is renewed: what it says may be wrong already.

        Without residency LM Studio loads what isn't there, and if it didn't answer its list a moment ago, it
        isn't asked.
        """
        box = self._box()
        box.catalogue.expire()
        self._doubts += 1
        if box.is_watched or (self._has_residency() and not box.catalogue.hangs):
            self._line.machines.doubt(box.name)
            if not box.is_left_alone:
                self._settle_soon()

    def attend(self, *, is_needed: bool = False) -> None:
        """Renew the list if a request waits for that.

        `is_needed`: one does, for a model that may have to be loaded, or that isn't in the list.
        """
        if self._is_doubtful and self._box().is_up and (is_needed or self._held()):
            self._is_awaited = True
            self._settle_soon()

    @property
    def _is_doubtful(self) -> bool:
        return self._box().name in self._line.machines.doubtful

    def _settle_soon(self) -> None:
        if self._settling is None or self._settling.done():
            self._settling = self._tasks.start(self._settle())

    async def _settle(self) -> None:
        """Renew the list. What waits for it is refused if LM Studio can't be reached.

        It may be reached in the next moment, when it is started again with nothing in memory, so the doubt
        goes on. Another failure says nothing about what is in memory: then the old list counts.
        """
        began = monotonic()
        while True:
            box = self._box()
            if self._is_awaited:
                box.used()
            failure = await self._read(box)
            if not (self._is_doubtful and box.is_up):
                return  # a box that is down is looked at when it is up again
            if monotonic() >= began + (PRESENCE_SECONDS if box.is_watched else PATIENCE_SECONDS):
                break
            await asyncio.sleep(RETRY_SECONDS)
            if not self._box().is_up:
                return
        self._is_awaited = False
        if not isinstance(failure, UpstreamNotReached) or not self._has_residency():
            self._end_doubt()
            return
        leases: list[Lease] = []
        for ticket in self._held():
            leases += self._line.leave(ticket, monotonic())
            self._end(ticket, UpstreamUnavailable(failure.message))
        self._dispatch(leases)

    def _held(self) -> list[Ticket]:
        """Return the requests whose model is in the box's memory if the list is right."""
        name, find = self._box().name, self._line.machines.of

        def is_held(ticket: Ticket) -> bool:
            return any(place.is_listed and place.id.box == name for place in find(ticket))

        return [one.ticket for one in self._line.waiting if is_held(one.ticket)]

    def _end_doubt(self) -> None:
        self._is_awaited = False
        if self._is_doubtful:
            self._line.machines.trust(self._box().name)
            self._dispatch(self._line.dispatch(monotonic()))
