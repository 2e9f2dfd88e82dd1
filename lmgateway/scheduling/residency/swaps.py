"""Models that take the place of others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct

from ...schema.common import ModelType
from ..slots import Instance
from ..tickets import Wanted
from .effects import SwapEnd, SwapResult
from .leaving import Leaving
from .loading import Loads
from .room import Room
from .rounds import Round
from .terms import ResidencyTerms
from .wants import Want

# Whose turn is next changes while time passes, without an event.
TURN_SECONDS = 1.0


class Swap(Struct, eq=False):
    """The instances of `leaving` make room for the model `to`; `from_model` is the first one's.

    It is taken back while one of them drains, if nobody waits for `to` any more.
    """

    to: Wanted
    leaving: list[Instance]
    since: float
    from_model: str

    @property
    def state(self) -> Literal["draining", "unloading", "loading"]:
        states = {instance.state for instance in self.leaving}
        if "draining" in states:
            return "draining"
        return "unloading" if states else "loading"


class Swaps:
    """The owner of the swaps in progress on one box, at most one for each type of model."""

    def __init__(self, current: Round, leaving: Leaving, loads: Loads) -> None:
        self._round = current
        self._leaving = leaving
        self._loads = loads
        self._by_kind: dict[ModelType, Swap] = {}

    @property
    def current(self) -> Sequence[Swap]:
        return list(self._by_kind.values())

    def of_kind(self, kind: ModelType) -> Swap | None:
        return self._by_kind.get(kind)

    def of(self, instance: Instance) -> Swap | None:
        return next((swap for swap in self.current if instance in swap.leaving), None)

    def is_for(self, target: Wanted) -> bool:
        return any(swap.to == target for swap in self.current)

    def begin(self, want: Want, victims: Iterable[Instance], room: Room, terms: ResidencyTerms) -> None:
        """Unload the spare ones of these, and have the busy ones drain if it is their time.

        If those that a swap began with weren't enough, it goes on with these.
        """
        leaving = []
        for victim in victims:
            if room.is_spare(victim):
                self._leaving.unload(victim)
            elif self._is_time(want, victim, terms):
                self._leaving.drain(victim, want.target.model)
                if room.is_done(victim):
                    self._leaving.unload(victim)
            else:
                continue
            leaving.append(victim)
        if leaving and (swap := self.of_kind(want.kind)) is not None:
            swap.leaving += leaving
        elif leaving:
            self._by_kind[want.kind] = Swap(want.target, leaving, self._round.now, leaving[0].model)

    def _is_time(self, want: Want, victim: Instance, terms: ResidencyTerms) -> bool:
        """True if a busy model may be replaced now."""
        stays = terms.least_residence(self._loads.seconds.get(victim.model, 0.0))
        at, now = max(victim.since + stays, want.since + terms.switch_seconds), self._round.now
        if want.is_next and now >= at:
            return True
        self._round.look_again(at if at > now else now + TURN_SECONDS)
        return False

    def settle(self, wants: Sequence[Want], room: Room) -> bool:
        """Unload what has drained, and take back the swaps that nobody waits for any more.

        Return whether one was taken back, so that requests may run on what has drained.
        """
        wanted, before = {want.target for want in wants}, len(self._by_kind)
        for swap in self.current:
            # A load in progress while others are still leaving is somebody's own: it needs no room.
            if swap.to in wanted or (swap.to in self._loads and not swap.leaving):
                self._go_on(swap, room)
            elif swap.state != "unloading":
                self._take_back(swap)
        return len(self._by_kind) < before

    def _go_on(self, swap: Swap, room: Room) -> None:
        for instance in [one for one in swap.leaving if one.state == "draining"]:
            if not room.may_leave(instance):
                # It was pinned, or became somebody's own, since it began to drain.
                self._open(instance)
                self.leave_out(swap, instance, "revoked")
            elif room.is_done(instance):
                self._leaving.unload(instance)

    def _take_back(self, swap: Swap) -> None:
        for instance in swap.leaving:
            if instance.state == "draining":
                self._open(instance)
        self.end(swap, "revoked")

    def _open(self, instance: Instance) -> None:
        if not self._leaving.is_asked(instance):
            self._leaving.open(instance)

    def leave_out(self, swap: Swap, instance: Instance, result: SwapResult = "failed") -> None:
        """Take in that an instance stays; `result` is the swap's if no other one leaves for it."""
        swap.leaving.remove(instance)
        if not swap.leaving:
            self.end(swap, result)

    def keep(self, instance: Instance) -> None:
        """Take a drain back, whatever it is for."""
        self._leaving.withdraw(instance)
        if (swap := self.of(instance)) is not None:
            self.leave_out(swap, instance, "revoked")
        self._leaving.open(instance)

    def gone(self, instances: Iterable[Instance]) -> None:
        """Take in that these are in memory no more."""
        for swap in self.current:
            swap.leaving = [one for one in swap.leaving if one not in instances]

    def end(self, swap: Swap, result: SwapResult) -> None:
        self._by_kind = {kind: other for kind, other in self._by_kind.items() if other is not swap}
        self._round.do(SwapEnd(result))
