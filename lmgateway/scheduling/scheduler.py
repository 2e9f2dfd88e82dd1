"""The owner of the line: it carries out what the line decides, and knows the time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from time import monotonic

from ..access.keyring import Keyring
from ..boxes.fleet import Fleet
from ..boxes.listing import Listing
from ..config import Config
from ..errors import GatewayError
from ..models.profiles import profiles_of
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
from .residency.keeper import Keeper
from .residency.origins import Origins
from .residency.terms import ResidencyTerms
from .residency.wishes import Wishes
from .runs import Run
from .slots import Instance, Lease
from .tickets import Ticket
from .waiting import Reason
from .watch import Watch


class Scheduler:
    """Lets requests run. Each has a Run, which begins and ends in one place."""

    def __init__(
        self, config: Config, fleet: Fleet, onlooker: Onlooker, origins: Origins, activity: Activity
    ) -> None:
        self._config = config
        self._onlooker = onlooker
        self._fleet = fleet
        self._terms = KeyTerms()
        self._waiting: dict[Ticket, Run] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_ending = False
        self._is_attentive = False  # whether a request waits or lingers, so that the timer may be set
        self.line = Line(Bounds.of(config.queue), monotonic(), terms=self._terms.of, assume=self._assume)
        self.instances = Instances(self.line, lambda: self._config)
        self.prompt_times = PromptTimes()
        self._watch = Watch(
            self.line,
            self.instances,
            fleet,
            self.dispatch,
            came_up=lambda: self._keeper.came_up(),
            has_drains=lambda: self.residency.drains,
            has_residency=lambda: self.residency.terms.enabled,
            end=self.end,
        )
        self._looks = self._watch.looks
        self._keeper = Keeper(
            self.line,
            self.instances,
            self,
            onlooker,
            box=lambda: fleet.only,
            profiles=lambda: profiles_of(self._config.models).loads,
            origins=origins,
            activity=activity,
            count=self._watch.count_all,
            terms=ResidencyTerms.of(config, fleet.only),
        )
        self.residency = self._keeper.residency
        self.wishes = Wishes(self.line, self._keeper, activity)
        fleet.watch(self._listed, self._looks.lost)

    # ── Changes ────────────────────────────────────────────────────────────────────────────────────────────

    def reconfigure(self, config: Config) -> None:
        """Have what waits and what arrives follow a new configuration."""
        self._config = config
        self.line.bounds = Bounds.of(config.queue)
        self.instances.update()
        self._change_terms()
        self._looks.wake()
        self.dispatch(self.line.change_terms(monotonic()))

    def apply(self, ring: Keyring) -> None:
        """Put the shares and limits of these keys in force."""
        self._terms.replace(ring)
        self.dispatch(self.line.change_terms(monotonic()))

    def _listed(self, box: str, listing: Listing) -> None:
        if self._keeper.notice_address():
            self._looks.start_over()
        self._change_terms()
        leases = self.instances.take(box, listing)
        self._keeper.ownership.listed()
        self.dispatch(leases)

    def _change_terms(self) -> None:
        self.residency.change_terms(ResidencyTerms.of(self._config, self._fleet.only))

    def _assume(self, ticket: Ticket) -> Instance | Reason:
        """Return what stands for a model that isn't in memory, or what a request waits for then."""
        if ticket.model and self._fleet.only.has_residency(self._config):
            return self.residency.absence
        if self.residency.is_leaving(ticket):
            return "model"  # LM Studio would answer with the instance that is to be unloaded
        return self.instances.assumed(ticket)  # without a name, LM Studio decides

    async def keep_watch(self) -> None:
        """Look without a request whether LM Studio has come up, to load pins and know what it has."""
        await self._looks.look_regularly(lambda: self._keeper.is_watchful)

    def end_waiting(self) -> None:
        """Refuse what waits, now and from now on: the gateway is stopping."""
        self._is_ending = True
        for run in tuple(self._waiting.values()):
            run.fail(refusals.ending())
        self._keeper.unloads.end_drains(refusals.ending())

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._keeper.close()
        await self._watch.close()

    # ── Runs ──────────────────────────────────────────────────────────────────────────────────────────────

    def passes(self, key: str) -> bool:
        """True if a request of this key needs no place in the line."""
        return not self._config.queue.enabled and self._terms.of(key).running is None

    def begin(self, run: Run, ticket: Ticket) -> Lease | None:
        """Return the lease of a request that may run now, or None: then it waits.

        Raises QueueFull, KeyQueueFull, GatewayEnding.
        """
        now = monotonic()
        if now >= self._looks.next_look:
            self._looks.look(now)
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
        if failed is not None and self.line.waiting and self.residency.terms.enabled and failed():
            self.doubt()
        leases = self.line.release(lease, monotonic())
        if self._is_attentive:
            self.dispatch(leases)
        if lease.recorded_seconds is not None:
            self._onlooker.ended(lease)

    def doubt(self) -> None:
        """Let no request run before it is known what is in memory."""
        self._looks.doubt()

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
        if self.residency.terms.enabled != self._fleet.only.has_residency(self._config):
            self._change_terms()  # LM Studio's greeting was read meanwhile
        self._let_run(self._keeper.decide(monotonic()))
        self._is_attentive = self.line.lingering > 0 or bool(self.line.waiting) or self.residency.is_attentive
        self._set_timer()
        self._watch.attend()

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
        dues = [due for due in (self.line.due(), self.residency.due()) if due is not None]
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
