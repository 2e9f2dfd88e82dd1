"""The owner of the line: it carries out what the line decides, and knows the time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from time import monotonic

from ..access.keyring import Keyring
from ..boxes.fleet import Fleet
from ..config import Config
from ..errors import GatewayError
from ..observe.activity import Activity
from ..observe.exchange import Exchange
from . import refusals
from .bounds import Bounds, Refusal
from .instances import Instances
from .key_terms import KeyTerms
from .lessons import learn
from .line import Line
from .onlookers import Onlooker
from .prompt_times import PromptTimes
from .residency.origins import Origins
from .runs import Run
from .slots import Instance, Lease
from .stations import Stations
from .tickets import Ticket
from .waiting import Reason
from .wishes import Wishes


class Scheduler:
    """Lets requests run. Each has a Run, which begins and ends in one place."""

    def __init__(
        self, config: Config, fleet: Fleet, onlooker: Onlooker, origins: Origins, activity: Activity
    ) -> None:
        self.config = config
        self._onlooker = onlooker
        self._terms = KeyTerms()
        self._waiting: dict[Ticket, Run] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_ending = False
        self._is_attentive = False  # whether a request waits or lingers, so that the timer may be set
        self.line = Line(Bounds.of(config.queue), monotonic(), terms=self._terms.of, assume=self._assume)
        self.instances = Instances(self.line, lambda: self.config)
        self.prompt_times = PromptTimes()
        self.stations = Stations(self, fleet, onlooker, origins, activity)
        self.wishes = Wishes(self.stations)
        fleet.watch(self.stations)

    # ── Changes ────────────────────────────────────────────────────────────────────────────────────────────

    def reconfigure(self, config: Config) -> None:
        """Have what waits and what arrives follow a new configuration, and the boxes in force now."""
        self.config = config
        self.line.bounds = Bounds.of(config.queue)
        self.instances.update()
        leases = self.stations.follow()
        for station in self.stations:
            station.change_terms()
            station.looks.wake()
        self.dispatch([*leases, *self.line.change_terms(monotonic())])

    def apply(self, ring: Keyring) -> None:
        """Put the shares and limits of these keys in force."""
        self._terms.replace(ring)
        self.dispatch(self.line.change_terms(monotonic()))

    def _assume(self, ticket: Ticket) -> Instance | Reason:
        """Return what stands for a model that isn't in memory, or what a request waits for then."""
        place = self.stations.place(ticket, monotonic())
        return place if isinstance(place, str) else self.instances.assumed(ticket, place.name)

    async def keep_watch(self) -> None:
        """Look without a request whether LM Studio has come up, to load pins and know what it has."""
        await self.stations.keep_watch()

    def end_waiting(self) -> None:
        """Refuse what waits, now and from now on: the gateway is stopping."""
        self._is_ending = True
        for run in tuple(self._waiting.values()):
            run.fail(refusals.ending())
        for station in self.stations:
            station.keeper.unloads.end_drains(refusals.ending())

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self.stations.close()

    # ── Runs ──────────────────────────────────────────────────────────────────────────────────────────────

    def passes(self, key: str) -> bool:
        """True if a request of this key needs no place in the line."""
        if self.config.queue.enabled or self.stations.has_routes:
            return False
        return self._terms.of(key).running is None

    def begin(self, run: Run, ticket: Ticket) -> Lease | None:
        """Return the lease of a request that may run now, or None: then it waits.

        Raises QueueFull, KeyQueueFull, GatewayEnding.
        """
        now = monotonic()
        for station in self.stations:
            if now >= station.looks.next_look:
                station.looks.look(now)
        outcome = self.line.arrive(ticket, now)
        return outcome if isinstance(outcome, Lease) else self._begin_to_wait(run, ticket, outcome)

    def _begin_to_wait(self, run: Run, ticket: Ticket, outcome: list[Lease] | Refusal) -> Lease | None:
        if isinstance(outcome, Refusal):
            self.dispatch(outcome.leases)
            error = refusals.full(outcome.code, ticket, self.line.bounds, self._retry_seconds(ticket))
            self._onlooker.refused(error)
            raise error
        self._waiting[ticket] = run
        self.dispatch(outcome)
        if ticket not in self._waiting:
            if run.failure is not None:
                raise run.failure
            return run.lease
        if self._is_ending:
            del self._waiting[ticket]
            self.dispatch(self.line.leave(ticket, monotonic()))
            raise refusals.ending()
        self._onlooker.queued(self.line.waiting[ticket])
        return None

    def give_up(self, run: Run, ticket: Ticket) -> None:
        """Take a request that waits out of the line."""
        if self._waiting.pop(ticket, None) is not None:
            self.dispatch(self.line.leave(ticket, monotonic()))
            self._onlooker.gave_up(ticket, run.waited)

    def finish(self, lease: Lease, *, failed: Callable[[], bool] | None = None) -> None:
        """End a lease, because LM Studio is done with it. Only the first call has an effect.

        One that has `failed` may say that its model is in memory no more, so the list is renewed before
        another request gets its slot.
        """
        if lease.phase == "ended":
            return
        if failed is not None and self.line.waiting and self._decides_at(lease) and failed():
            self.doubt(lease)
        leases = self.line.release(lease, monotonic())
        if self._is_attentive:
            self.dispatch(leases)
        if lease.recorded_seconds is not None:
            self._onlooker.ended(lease)

    def _decides_at(self, lease: Lease) -> bool:
        station = self.stations.get(lease.instance.id.box)
        return station is not None and station.residency.terms.enabled

    def doubt(self, lease: Lease) -> None:
        """Let no request run on a lease's box before it is known what it has in memory."""
        if (station := self.stations.get(lease.instance.id.box)) is not None:
            station.looks.doubt()

    def learn(self, lease: Lease, exchange: Exchange) -> None:
        """Learn from a request that ends."""
        learn(lease, exchange, self.prompt_times, self.line.machines)

    def linger(self, lease: Lease) -> None:
        """Keep the slot of a client that has left in its prompt, which LM Studio still processes."""
        now = monotonic()
        seconds = self.prompt_times.linger_seconds(lease.ticket.model, lease.ticket.body_bytes)
        self.line.linger(lease, lease.began + seconds, now)
        self.dispatch([])

    # ── Decisions ──────────────────────────────────────────────────────────────────────────────────────────

    def dispatch(self, leases: Iterable[Lease]) -> None:
        """Let requests run which waited until now, and have everything else decided that follows."""
        for lease in self.line.take_ended():
            self._onlooker.ended(lease)
        self._let_run(leases)
        for station in self.stations:
            station.follow_greeting()
        # What is done on one box may send requests to another: those whose model begins to leave the first.
        for _ in range(1 + len(self.stations)):
            self._route()
            if not self._decide() or not self.stations.has_routes:
                break
        self._is_attentive = (
            self.line.lingering > 0
            or bool(self.line.waiting)
            or any(station.residency.is_attentive for station in self.stations)
        )
        self._set_timer()
        for station in self.stations:
            station.attend(is_needed=self.stations.is_needed(station))

    def _decide(self) -> bool:
        """Have what is in memory decided; return whether anything was done."""
        decisions = [station.keeper.decide(monotonic()) for station in self.stations]
        for decision in decisions:
            self._let_run(decision.leases)
        return any(decision.effects for decision in decisions)

    def _route(self) -> None:
        """Decide on which box the models are loaded that are waited for, and refuse what can run nowhere."""
        for target, error in self.stations.route(monotonic()):
            for waiter in tuple(self.line.waiting):
                if waiter.ticket.group.wanted == target:
                    self._let_run(self.line.leave(waiter.ticket, monotonic()))
                    self.end(waiter.ticket, error)

    def _let_run(self, leases: Iterable[Lease]) -> None:
        for lease in leases:
            run = self._waiting.pop(lease.ticket)
            self._onlooker.dispatched(lease, run.waited)
            run.may_run(lease)

    def end(self, ticket: Ticket, error: GatewayError) -> None:
        """End the wait of a request that is in line no more."""
        run = self._waiting.pop(ticket)
        self._onlooker.gave_up(ticket, run.waited)
        self._onlooker.refused(error)
        run.fail(error)

    def _set_timer(self) -> None:
        """Have the next decision made when it is due. No timer runs if none is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        own = (self.line.due(), self.stations.due, *(station.residency.due() for station in self.stations))
        dues = [due for due in own if due is not None]
        if dues:
            self._timer = asyncio.get_running_loop().call_later(min(dues) - monotonic(), self._tick)

    def _tick(self) -> None:
        self._timer = None
        expired, leases = self.line.tick(monotonic())
        for waiter in expired:
            self.end(waiter.ticket, refusals.expired(waiter, self._retry_seconds(waiter.ticket)))
        self.dispatch(leases)

    def _retry_seconds(self, ticket: Ticket) -> int:
        slots = sum(one.slots for one in self.line.machines.of(ticket)) or self.instances.slots_of(ticket)
        return refusals.retry_seconds(self.line.durations.mean(ticket.model), slots)
