"""What a box has, brings and offers for a model: what the choice of a box depends on."""

from __future__ import annotations

from math import inf

from ...schema.common import ModelType
from ..routing import Offer
from ..tickets import Ticket, Wanted
from ..waiting import Reason
from .hopeless import Hopeless
from .loading import Loads, answers
from .room import Room
from .shortage import Shortage
from .swaps import Swaps
from .wants import has_name, is_for


class Prospects:
    """Looks at the owners of one box's residency, and changes nothing."""

    def __init__(
        self, room: Room, loads: Loads, swaps: Swaps, hopeless: Hopeless, shortage: Shortage
    ) -> None:
        self._room = room
        self._loads = loads
        self._swaps = swaps
        self._hopeless = hopeless
        self._shortage = shortage

    def has(self, target: Wanted) -> bool:
        """True if an instance is in memory that answers to the wanted name, also one that leaves it."""
        return self._room.has(target)

    def is_leaving(self, ticket: Ticket) -> bool:
        """True if a request's model is in memory, and is to be unloaded."""
        return any(one.state != "resident" and is_for(ticket, one) for one in self._room.instances())

    def returns(self, target: Wanted) -> bool:
        """True if an instance drains for a model that nobody waits for any more: it is opened again now."""
        waiting = {group[0].ticket.group.wanted for group in self._room.line.waiting.groups()}
        swaps = [swap for swap in self._swaps.current if swap.to not in waiting]
        return any(
            one.state == "draining" and has_name(one, target) for swap in swaps for one in swap.leaving
        )

    @property
    def absence(self) -> Reason:
        """What a request waits for whose model isn't in memory."""
        return "model" if self._hopeless.has_link else "box"

    def loads(self, target: Wanted) -> bool:
        """True if a model is being loaded."""
        return self._loads.answers(target)

    def brings(self, target: Wanted) -> bool:
        """True if a model is being loaded, or others leave for it."""
        return self.loads(target) or any(answers(swap.to, target) for swap in self._swaps.current)

    def is_hopeless(self, model: str, kind: ModelType, now: float) -> bool:
        """True if a model couldn't be loaded lately, or there is never room for it."""
        is_blocked = not self._room.is_pinned(model) and self._room.for_requests(kind) <= 0
        has_failed = self._hopeless.failures.of(model, now) is not None
        return is_blocked or has_failed or not self._hopeless.has_link

    def offer(self, model: str, kind: ModelType, now: float) -> Offer:
        """Return what the box offers a model that isn't in its memory."""
        is_loading, victim = self._loads.of_kind(kind), self._room.victim(kind)
        lacks_memory = self._shortage.is_of(model)
        has_spare, spare_at = victim is not None and self._room.is_spare(victim), inf
        if victim is not None and has_spare:
            load_seconds = self._loads.seconds.get(victim.model, 0.0)
            spare_at = victim.since + self._room.terms.least_residence(load_seconds)
        return Offer(
            box=self._room.box,
            is_hopeless=self.is_hopeless(model, kind, now),
            # The model that is being loaded takes its room, though it isn't listed yet.
            has_room=self._room.has_room(model, kind) and not (is_loading or lacks_memory),
            is_loading=is_loading or self._swaps.of_kind(kind) is not None,
            has_spare=has_spare,
            spare_at=spare_at,
            running=self._room.running,
            lacks_memory=lacks_memory,
        )
