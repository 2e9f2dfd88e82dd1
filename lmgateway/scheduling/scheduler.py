"""The owner of the line: it carries out what the line decides, and knows the time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from time import monotonic
from typing import Protocol

from ..access.keyring import NO_KEYS, Keyring
from ..boxes.fleet import Fleet
from ..boxes.listing import Listing
from ..config import Config
from ..errors import GatewayError
from ..observe.exchange import Exchange
from . import refusals
from .bounds import Bounds, Refusal
from .instances import Instances
from .line import UNLIMITED, Line
from .prompt_times import PromptTimes
from .runs import Run
from .slots import Lease
from .tickets import Terms, Ticket
from .waiting import Waiter
from .watch import Watch


class Onlooker(Protocol):
    """Is told what happens in the line. None of it may raise."""

    def queued(self, waiter: Waiter) -> None:
        """A request begins to wait."""

    def dispatched(self, lease: Lease, waited: float) -> None:
        """A request that has waited so many seconds runs now."""

    def gave_up(self, ticket: Ticket, waited: float) -> None:
        """A request has left the line: its client did, or it was ended, or it had waited too long."""

    def refused(self, error: GatewayError) -> None:
        """A request was refused, or has waited too long."""

    def ended(self, lease: Lease) -> None:
        """LM Studio is done with a request whose client had left before."""


class Scheduler:
    """Lets requests run. Each has a Run, which begins and ends in one place."""

    def __init__(self, config: Config, fleet: Fleet, onlooker: Onlooker) -> None:
        self._config = config
        self._onlooker = onlooker
        self._ring = NO_KEYS
        self._terms: dict[str, Terms] = {}
        self._waiting: dict[Ticket, Run] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_ending = False
        # Whether a request waits or lingers, so that the timer may be set.
        self._is_attentive = False
        self.line = Line(
            _bounds(config),
            monotonic(),
            terms=self._terms_of,
            assume=lambda ticket: self.instances.assumed(ticket),
        )
        self.instances = Instances(self.line, lambda: self._config)
        self.prompt_times = PromptTimes()
        self._watch = Watch(self.line, self.instances, fleet, self._dispatch)
        fleet.watch(self._listed)

    # ── Changes ────────────────────────────────────────────────────────────────────────────────────────────

    def reconfigure(self, config: Config) -> None:
        """Have what waits and what arrives follow a new configuration."""
        self._config = config
        self.line.bounds = _bounds(config)
        self.instances.update()
        self._dispatch(self.line.change_terms(monotonic()))

    def apply(self, ring: Keyring) -> None:
        """Put the shares and limits of these keys in force."""
        self._ring = ring
        self._terms.clear()
        self._dispatch(self.line.change_terms(monotonic()))

    def _listed(self, box: str, listing: Listing) -> None:
        self._dispatch(self.instances.take(box, listing))

    def end_waiting(self) -> None:
        """Refuse what waits, now and from now on: the gateway is stopping."""
        self._is_ending = True
        for run in tuple(self._waiting.values()):
            run.fail(refusals.ending())

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._watch.close()

    # ── Runs ──────────────────────────────────────────────────────────────────────────────────────────────

    def passes(self, key: str) -> bool:
        """True if a request of this key needs no place in the line."""
        return not self._config.queue.enabled and self._terms_of(key).running is None

    def shares_context(self, ticket: Ticket) -> bool:
        """True if what the request needs of the context may decide what runs beside it."""
        only = self.line.machines.only.get(ticket.group.wanted)
        if only is not None and not only.may_share:
            return False  # nearly every request
        if ticket.kind != "llm" or self._watch.is_blind:
            return False
        instances = self.line.machines.of(ticket)
        return (
            any(one.may_share for one in instances) if instances else self.instances.has_guard(ticket.model)
        )

    def begin(self, run: Run, ticket: Ticket) -> Lease | None:
        """Return the lease of a request that may run now, or None: then it waits.

        Raises QueueFull, KeyQueueFull, GatewayEnding.
        """
        now = monotonic()
        if now >= self._watch.next_look:
            self._watch.look(now)
        outcome = self.line.arrive(ticket, now)
        return outcome if isinstance(outcome, Lease) else self._begin_to_wait(run, ticket, outcome)

    def _begin_to_wait(self, run: Run, ticket: Ticket, outcome: list[Lease] | Refusal) -> Lease | None:
        if isinstance(outcome, Refusal):
            self._dispatch(outcome.leases)
            error = refusals.full(outcome.code, ticket, self.line.bounds, self._retry_seconds(ticket))
            self._onlooker.refused(error)
            raise error
        self._waiting[ticket] = run
        self._dispatch(outcome)
        if ticket not in self._waiting:
            return run.lease
        if self._is_ending:
            del self._waiting[ticket]
            self._dispatch(self.line.leave(ticket, monotonic()))
            raise refusals.ending()
        self._onlooker.queued(self.line.waiting[ticket])
        return None

    def give_up(self, run: Run, ticket: Ticket) -> None:
        """Take a request that waits out of the line."""
        if self._waiting.pop(ticket, None) is not None:
            self._dispatch(self.line.leave(ticket, monotonic()))
            self._onlooker.gave_up(ticket, run.waited)

    def finish(self, lease: Lease) -> None:
        """End a lease, because LM Studio is done with it. Only the first call has an effect."""
        if lease.phase != "ended":
            leases = self.line.release(lease, monotonic())
            if self._is_attentive:
                self._dispatch(leases)
            if lease.recorded_seconds is not None:
                self._onlooker.ended(lease)

    def learn(self, lease: Lease, exchange: Exchange) -> None:
        """Learn from a request that ends how long prompts take, and how much of the context they need."""
        ticket, count = lease.ticket, exchange.count
        if not lease.instance.is_listed:
            return  # clients choose the names of these
        if exchange.first_token is not None and exchange.sent is not None and exchange.stream:
            self.prompt_times.learn(ticket.model, ticket.body_bytes, exchange.first_token - exchange.sent)
        if lease.instance.context is not None and count is not None:
            needs = self.line.machines.learned(ticket.model)
            earlier = ticket.earlier_tokens
            needs.learn(
                ticket.prompt_bytes, count.prompt_tokens, count.completion_tokens, earlier_tokens=earlier
            )

    def linger(self, lease: Lease) -> None:
        """Keep the slot of a client that has left in its prompt, which LM Studio still processes."""
        now = monotonic()
        seconds = self.prompt_times.linger_seconds(lease.ticket.model, lease.ticket.body_bytes)
        self.line.linger(lease, lease.began + seconds, now)
        self._dispatch([])

    def _dispatch(self, leases: Iterable[Lease]) -> None:
        """Let requests run which waited until now, and have the timer set for what is due next."""
        for lease in self.line.take_ended():
            self._onlooker.ended(lease)
        for lease in leases:
            run = self._waiting.pop(lease.ticket)
            self._onlooker.dispatched(lease, run.waited)
            run.may_run(lease)
        is_needed = self.line.lingering > 0 or bool(self.line.waiting)
        if is_needed or self._is_attentive:
            self._set_timer()
        self._is_attentive = is_needed

    def _set_timer(self) -> None:
        due = self.line.due()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer = asyncio.get_running_loop().call_later(due - monotonic(), self._tick)
        self._watch.attend()

    def _tick(self) -> None:
        self._timer = None
        expired, leases = self.line.tick(monotonic())
        for waiter in expired:
            run = self._waiting.pop(waiter.ticket)
            error = refusals.expired(waiter.ticket, self._retry_seconds(waiter.ticket))
            self._onlooker.gave_up(waiter.ticket, run.waited)
            self._onlooker.refused(error)
            run.fail(error)
        self._dispatch(leases)

    def _retry_seconds(self, ticket: Ticket) -> int:
        slots = sum(one.slots for one in self.line.machines.of(ticket)) or self.instances.slots_of(ticket)
        return refusals.retry_seconds(self.line.durations.mean(ticket.model), slots)

    def _terms_of(self, key: str) -> Terms:
        terms = self._terms.get(key)
        if terms is None:
            named = self._ring.keys.get(key)
            if named is None:
                return UNLIMITED
            settings = named.settings
            terms = self._terms[key] = Terms(settings.share, settings.limits.running)
        return terms


def _bounds(config: Config) -> Bounds:
    queue = config.queue
    return Bounds(
        waiting=queue.max_waiting,
        waiting_per_key=queue.max_waiting_per_key,
        waiting_bytes=queue.max_waiting_bytes,
    )
