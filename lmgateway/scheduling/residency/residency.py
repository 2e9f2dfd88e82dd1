"""Which models are in memory: what is to be loaded and unloaded now.

Every method takes the time, in seconds of a monotonic clock. Nothing here waits or does I/O: `decide` returns
what is to be done, and is told what came of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from typing import Literal, NamedTuple

from msgspec import Struct

from ...errors import GatewayError, LoadCancelled
from ...schema.common import ModelType, likely_type
from ...schema.queue import Origin
from ..line import Line
from ..slots import Instance, InstanceId, Lease
from ..tickets import Ticket
from ..waiting import Reason
from . import refusals
from .effects import (
    DrainEnd,
    DrainStart,
    Effect,
    Load,
    Loaded,
    LoadFailure,
    LoadOutcome,
    Refuse,
    SwapEnd,
    SwapResult,
    Target,
    Unload,
    Unloaded,
)
from .failures import Failures
from .room import Room
from .swaps import Swap
from .terms import ResidencyTerms
from .wants import Want, find_wants, target_of

# How long a request waits for the link to LM Studio's SDK.
LINK_SECONDS = 30.0
# How long after a failed call to LM Studio the next one is made.
RETRY_SECONDS = 2.0
# Whose turn is next changes while time passes, without an event.
TURN_SECONDS = 1.0


class Loading(Struct, eq=False):
    """A load in progress. `origin` is that of the instance to be."""

    load: Load
    since: float
    origin: Origin


class Decision(NamedTuple):
    effects: Sequence[Effect]
    leases: Sequence[Lease]


class Residency:
    """The owner of what is loaded and unloaded on one box, and of its instances' origins."""

    def __init__(self, box: str, line: Line, terms: ResidencyTerms) -> None:
        self.terms = terms
        # By model, how long its last load took, in seconds.
        self.load_seconds: dict[str, float] = {}
        self.loads: dict[Target, Loading] = {}
        self.swaps: dict[ModelType, Swap] = {}
        self._box = box
        self._line = line
        self._failures = Failures()
        # Those that found no memory once: they are tried again when nothing else may be unloaded.
        self._crowded: set[Target] = set()
        self._ended: list[tuple[Target, GatewayError]] = []
        # Those that somebody wants unloaded, and whether at once.
        self._asked: dict[Instance, bool] = {}
        # Those whose drain was announced.
        self._drained: set[Instance] = set()
        self._pins: list[str] = []
        self._link_lost: tuple[float, str] | None = None
        self._retry_at = -inf
        self._seen: frozenset[Instance] = frozenset()
        self._now = 0.0
        self._due = inf
        self._effects: list[Effect] = []
        self._leases: list[Lease] = []
        self._room = Room(line, box, terms)

    # ── Events ─────────────────────────────────────────────────────────────────────────────────────────────

    def change_terms(self, terms: ResidencyTerms) -> None:
        self.terms = terms
        passing, self._room = self._room.passing, Room(self._line, self._box, terms)
        self._room.passing = passing

    def came_up(self) -> None:
        """Have the pinned models loaded: LM Studio was started."""
        self._pins = [*dict.fromkeys(self.terms.pins)]

    def absence(self, ticket: Ticket) -> Reason | None:
        """Return why a request waits whose model isn't in memory, None if LM Studio is to load it."""
        if not self.terms.enabled:
            return None
        return "model" if self._link_lost is None else "box"

    def load_ended(self, load: Load, outcome: LoadOutcome, now: float) -> None:
        """Take in what came of a load."""
        self._now = now
        loading, model = self.loads.pop(load.target), load.target.model
        swap = self.swaps.get(load.kind)
        is_swap = swap is not None and swap.to == load.target and not swap.leaving
        if isinstance(outcome, Loaded):
            self._crowded.discard(load.target)
            self._failures.succeeded(model)
            self._link_lost = None
            self._loaded(loading, outcome, now)
        else:
            self._load_failed(load.target, outcome, now)
        if swap is not None and is_swap and load.target not in self._crowded:
            self._end_swap(swap, "completed" if isinstance(outcome, Loaded) else "failed")

    def _loaded(self, loading: Loading, outcome: Loaded, now: float) -> None:
        instance = self._line.machines.instances.get(InstanceId(self._box, outcome.identifier))
        if instance is None or not instance.is_listed:
            return  # somebody else has unloaded it already
        if not outcome.was_there:
            self.load_seconds[instance.model] = now - loading.since
            instance.since = instance.idle_since = now
        if not outcome.was_there or instance.origin == "on-demand":
            instance.origin = loading.origin

    def _load_failed(self, target: Target, failure: LoadFailure, now: float) -> None:
        model, words = target.model, failure.words
        match failure.reason:
            case "no_link":
                self._link_lost = self._link_lost or (now, words)
                self._retry_at = now + RETRY_SECONDS
                self._leases += self._line.decide(now)  # they wait for something else now
            case "missing":
                self._ended.append((target, refusals.missing(model, words)))
            case "cancelled":
                self._ended.append((target, LoadCancelled(words)))
            case "no_memory":
                self._room.passing = failure.passing
                if target not in self._crowded and self._room.for_memory():
                    self._crowded.add(target)
                    return
                self._crowded.discard(target)
                others = self._room.in_the_way()
                error = (
                    refusals.blocked_by_others(model, others, words)
                    if others
                    else refusals.load_failed(model, words)
                )
                self._failures.add(model, error, now, of_memory=True)
            case "other":
                self._failures.add(model, refusals.load_failed(model, words), now, of_memory=False)

    def unload_ended(self, instance: Instance, unloaded: Unloaded, now: float) -> None:
        """Take in what came of an unload."""
        self._now = now
        if unloaded.outcome == "gone":
            if instance.is_listed:
                self._leases += self._line.remove(instance, now)
            return  # the next decision goes on with its swap
        if not instance.is_listed:
            return
        swap, is_asked = self._swap_of(instance), instance in self._asked
        if unloaded.outcome == "failed":
            self._retry_at = now + RETRY_SECONDS
            self._asked.pop(instance, None)
        elif swap is not None or is_asked:
            self._line.accounts.set_outside(instance, unloaded.counted, now)
            if is_asked or instance in self._drained:
                self._line.set_state(instance, "draining")
                return  # it is unloaded when those have ended too
        else:
            instance.idle_since = now
        self._open(instance)
        if swap is not None:
            swap.leaving.remove(instance)
            if not swap.leaving:
                self._end_swap(swap, "failed")

    # ── What others ask for ────────────────────────────────────────────────────────────────────────────────

    def begin_load(self, target: Target, kind: ModelType, origin: Origin, now: float) -> Load:
        """Record a load that somebody asks for; `load_ended` follows."""
        load = Load(target, kind)
        self.loads[target] = Loading(load, now, origin)
        return load

    def ask_to_unload(self, instance: Instance, *, force: bool = False) -> None:
        """Have an instance unloaded when nothing runs on it any more, or at once."""
        self._asked[instance] = force

    def take_back(self, instance: Instance) -> None:
        """Have an instance not unloaded for those who asked for it."""
        if self._asked.pop(instance, None) is not None and self._swap_of(instance) is None:
            self._open(instance)

    # ── Decisions ──────────────────────────────────────────────────────────────────────────────────────────

    def decide(self, now: float) -> Decision:
        """Return what is to be done, and the leases of requests that may run because of it."""
        self._now, self._due = now, inf
        self._notice_who_left()
        self._finish_ended()
        if self.terms.enabled:
            wants = self._possible(find_wants(self._line, self._box, now, self._is_there))
            self._settle(wants)
            for want in sorted(wants, key=lambda one: not self._is_swapped_in(one.target)):
                self._serve(want)
            self._load_pins()
            self._unload_idle()
        else:
            self._settle(())
        self._unload_asked()
        decision = Decision(self._effects, self._leases)
        self._effects, self._leases = [], []
        return decision

    def due(self) -> float | None:
        """Return when `decide` is needed next, None if no time is."""
        return None if self._due == inf else self._due

    def _notice_who_left(self) -> None:
        """Take in what is in memory no more, whoever unloaded it."""
        seen = frozenset(self._room.instances())
        gone, self._seen = self._seen - seen, seen
        if not gone:
            return
        self._failures.memory_is_freed()
        for instance in gone:
            self._asked.pop(instance, None)
            self._end_drain(instance, "unloaded")
        for swap in self.swaps.values():
            swap.leaving = [one for one in swap.leaving if one not in gone]

    def _finish_ended(self) -> None:
        """Refuse those whose load has failed for good."""
        ended, self._ended = self._ended, []
        for target, error in ended:
            self._refuse(target, error)

    def _possible(self, wants: Iterable[Want]) -> list[Want]:
        """Return the wants that may be fulfilled; the requests of the others are refused."""
        possible = []
        for want in wants:
            failure = self._failures.of(want.target.model, self._now)
            if failure is not None:
                self._refuse(want.target, failure.error)
            elif self._is_blocked(want):
                pins = list(dict.fromkeys(self.terms.pins))
                error = refusals.blocked_by_pins(want.target.model, pins, self.terms.max_models)
                self._refuse(want.target, error)
            elif self._link_lost is None or self._may_wait_for_link(want.target, *self._link_lost):
                possible.append(want)
        return possible

    def _is_blocked(self, want: Want) -> bool:
        is_pinned = self._room.is_pinned(want.target.model)
        return not is_pinned and self._room.for_requests(want.kind) <= 0

    def _may_wait_for_link(self, target: Target, since: float, words: str) -> bool:
        """Refuse those that have waited for the link as long as they may; return whether any are left."""
        left = False
        for waiter in tuple(self._line.waiting):
            if target_of(waiter.ticket) == target:
                until = max(since, waiter.since) + LINK_SECONDS
                if until <= self._now:
                    self._refuse_one(waiter.ticket, refusals.no_link(target.model, words))
                else:
                    left = True
                    self._look_again(until)
        return left

    def _settle(self, wants: Sequence[Want]) -> None:
        """Take back the drains that nobody waits for any more, and unload what has drained."""
        wanted = {want.target for want in wants}
        self._crowded &= wanted | self.loads.keys()
        for swap in tuple(self.swaps.values()):
            if swap.to in wanted or swap.to in self.loads:
                for instance in swap.leaving:
                    if instance.state == "draining" and self._room.is_done(instance):
                        self._unload(instance)
            elif swap.state == "draining":
                for instance in swap.leaving:
                    if instance.state == "draining" and instance not in self._asked:
                        self._open(instance)
                swap.leaving = [one for one in swap.leaving if one.state == "unloading"]
                self._end_swap(swap, "revoked")
            elif swap.state == "loading":
                self._end_swap(swap, "revoked")

    def _is_swapped_in(self, target: Target) -> bool:
        return any(swap.to == target for swap in self.swaps.values())

    def _serve(self, want: Want) -> None:
        """Do the next thing that brings a model into memory."""
        if self._now < self._retry_at:
            self._look_again(self._retry_at)
            return
        if any(loading.load.kind == want.kind for loading in self.loads.values()):
            return  # one at a time
        swap = self.swaps.get(want.kind)
        if swap is not None and (swap.to != want.target or swap.leaving):
            return
        if want.target in self._crowded:
            self._find_memory(want)
        elif self._has_room(want):
            self._load(want.target, want.kind)
        elif (victim := self._room.victim(want.kind)) is not None:
            self._replace(want, [victim])

    def _has_room(self, want: Want) -> bool:
        taken, most = self._room.taken(want.kind), self._room.for_requests(want.kind)
        # The pins have room of their own, but for what was loaded before they were pinned.
        return taken <= most if self._room.is_pinned(want.target.model) else taken < most

    def _find_memory(self, want: Want) -> None:
        """Unload what may be unloaded, and try once more when that is gone."""
        leaving = self._room.for_memory()
        if leaving:
            self._replace(want, [one for one in leaving if one.state == "resident"])
        else:
            self._load(want.target, want.kind)

    def _replace(self, want: Want, victims: Iterable[Instance]) -> None:
        """Unload the spare ones of these, and have the busy ones drain if it is their time."""
        leaving = []
        for victim in victims:
            if self._room.is_spare(victim):
                self._unload(victim)
                leaving.append(victim)
            elif self._is_time(want, victim):
                self._drain(victim, want.target.model)
                leaving.append(victim)
                if self._room.is_done(victim):
                    self._unload(victim)
        if leaving:
            self.swaps[want.kind] = Swap(want.target, leaving, self._now, leaving[0].model)

    def _is_time(self, want: Want, victim: Instance) -> bool:
        """True if a busy model may be replaced now."""
        stays = self.terms.least_residence(self.load_seconds.get(victim.model, 0.0))
        at = max(victim.since + stays, want.since + self.terms.switch_seconds)
        if want.is_next and self._now >= at:
            return True
        self._look_again(at if at > self._now else self._now + TURN_SECONDS)
        return False

    def _load_pins(self) -> None:
        """Load the next pinned model."""
        if not self._pins or self._now < self._retry_at:
            if self._pins:
                self._look_again(self._retry_at)
            return
        pin = self._pins[0]
        kind = likely_type(pin)
        if self._is_there(Target(pin)) or self._failures.of(pin, self._now) is not None:
            if Target(pin) not in self.loads:
                self._pins.pop(0)
                self._load_pins()
        elif not self.loads and kind not in self.swaps:
            if self._room.taken(kind) <= self._room.for_requests(kind):
                self._load(Target(pin), kind)
            elif (victim := self._room.victim(kind)) is not None and self._room.is_spare(victim):
                self._unload(victim)

    def _unload_idle(self) -> None:
        if self.terms.idle_seconds == inf:
            return
        for instance in self._room.instances():
            if instance.state != "resident" or not self._room.may_leave(instance):
                continue
            at = max(instance.idle_since + self.terms.idle_seconds, self._retry_at)
            if at > self._now:
                self._look_again(at)
            elif self._room.is_spare(instance):
                self._unload(instance)

    def _unload_asked(self) -> None:
        for instance, is_forced in self._asked.items():
            if instance.state == "resident":
                self._drain(instance, None)
            if instance.state == "draining" and (is_forced or self._room.is_done(instance)):
                self._unload(instance, is_forced=is_forced)

    # ── Changes ────────────────────────────────────────────────────────────────────────────────────────────

    def _is_there(self, target: Target) -> bool:
        """True if a model is in memory, or is being loaded."""
        if self._room.has(target):
            return True
        return any(_answers(loading, target) for loading in self.loads)

    def _load(self, target: Target, kind: ModelType) -> None:
        origin: Origin = "loaded" if self._room.is_pinned(target.model) else "on-demand"
        self._effects.append(self.begin_load(target, kind, origin, self._now))

    def _unload(self, instance: Instance, *, is_forced: bool = False) -> None:
        self._line.set_state(instance, "unloading")
        self._effects.append(Unload(instance, is_forced))

    def _drain(self, instance: Instance, wanted: str | None) -> None:
        self._line.set_state(instance, "draining")
        self._drained.add(instance)
        self._effects.append(DrainStart(instance, wanted))

    def _end_drain(self, instance: Instance, outcome: Literal["unloaded", "revoked"]) -> None:
        if instance in self._drained:
            self._drained.remove(instance)
            self._effects.append(DrainEnd(instance, outcome))

    def _open(self, instance: Instance) -> None:
        self._end_drain(instance, "revoked")
        self._line.set_state(instance, "resident")
        self._leases += self._line.decide(self._now)

    def _end_swap(self, swap: Swap, result: SwapResult) -> None:
        self.swaps = {kind: other for kind, other in self.swaps.items() if other is not swap}
        self._effects.append(SwapEnd(result))

    def _swap_of(self, instance: Instance) -> Swap | None:
        return next((swap for swap in self.swaps.values() if instance in swap.leaving), None)

    def _refuse(self, target: Target, error: GatewayError) -> None:
        for waiter in tuple(self._line.waiting):
            if target_of(waiter.ticket) == target:
                self._refuse_one(waiter.ticket, error)

    def _refuse_one(self, ticket: Ticket, error: GatewayError) -> None:
        self._leases += self._line.leave(ticket, self._now)
        self._effects.append(Refuse(ticket, error))

    def _look_again(self, at: float) -> None:
        self._due = min(self._due, at)


def _answers(loading: Target, target: Target) -> bool:
    """True if the instance of this load will answer requests for this model."""
    if target.instance is None or loading.instance == target.instance:
        return loading.model == target.model
    return loading.instance is None and loading.model == target.instance
