"""Who is in memory, who may leave it for another model, and who is in the way."""

from __future__ import annotations

from collections.abc import Collection
from math import inf

from ...schema.common import ModelType, likely_type
from ..line import Line
from ..slots import Instance
from ..tickets import Wanted
from .terms import ResidencyTerms
from .wants import has_name, is_for


class Room:
    """The instances in a box's memory, by the rules of the residency. It changes none of them."""

    def __init__(self, line: Line, box: str, terms: ResidencyTerms) -> None:
        self.terms = terms
        self.line = line
        self.box = box
        # Idle instances of others which LM Studio would unload by itself: they go for lack of memory.
        self.passing: frozenset[str] = frozenset()

    def instances(self) -> list[Instance]:
        """Return what is in memory."""
        everything = self.line.machines.instances.values()
        return [one for one in everything if one.is_listed and one.id.box == self.box]

    def has(self, target: Wanted) -> bool:
        """True if an instance is in memory that answers requests for this model, also one that leaves it."""
        return any(has_name(one, target) for one in self.instances())

    @property
    def running(self) -> int:
        """How many requests of the gateway run on the box."""
        return self.line.machines.running_on(self.box)

    # ── By number ──────────────────────────────────────────────────────────────────────────────────────────

    @property
    def most(self) -> int:
        return self.terms.max_models

    def is_pinned(self, model: str) -> bool:
        return model in self.terms.pins

    def pins(self, kind: ModelType) -> list[str]:
        return [pin for pin in dict.fromkeys(self.terms.pins) if likely_type(pin) == kind]

    def for_requests(self, kind: ModelType) -> int:
        """Return how many models of a type may be loaded for requests, beside the pins."""
        return self.most - len(self.pins(kind))

    def has_room(self, model: str, kind: ModelType) -> bool:
        """True if a model may be loaded beside those that are in memory."""
        taken = sum(one.kind == kind and self.may_leave(one) for one in self.instances())
        most = self.for_requests(kind)
        # The pins have room of their own, but for what was loaded before they were pinned.
        return taken <= most if self.is_pinned(model) else taken < most

    # ── By use ─────────────────────────────────────────────────────────────────────────────────────────────

    def may_leave(self, instance: Instance) -> bool:
        """True if the gateway may unload an instance for another model."""
        return instance.origin == "on-demand" and not self.is_pinned(instance.model)

    def is_done(self, instance: Instance) -> bool:
        """True if nothing runs on an instance, as far as is known."""
        return not instance.leases and not instance.outside

    def is_spare(self, instance: Instance) -> bool:
        """True if nothing runs on an instance and nobody waits for it."""
        if not self.is_done(instance):
            return False
        return not any(is_for(group[0].ticket, instance) for group in self.line.waiting.groups())

    def victim(self, kind: ModelType) -> Instance | None:
        """Return the instance that goes first for another model: the least recently used one.

        None as long as another one is being unloaded, so that no two go for one model.
        """
        evictable = [one for one in self.instances() if one.kind == kind and self.may_leave(one)]
        if any(one.state == "unloading" for one in evictable):
            return None
        return min(
            (one for one in evictable if one.state == "resident"),
            key=lambda one: (not self.is_spare(one), one.idle_since if self.is_done(one) else inf, one.since),
            default=None,
        )

    def for_memory(self) -> list[Instance]:
        """Return the instances that go when a load finds no memory, also those that leave already."""
        return [one for one in self.instances() if self.may_leave(one) or self._is_passing(one)]

    def spare(self, passing: frozenset[str]) -> list[Instance]:
        """Return those of them that may go at once; `passing` as for the attribute, which is set to it."""
        self.passing = passing
        return [one for one in self.for_memory() if one.state == "resident" and self.is_spare(one)]

    def in_the_way(self) -> list[str]:
        """Return the identifiers of the instances that stay."""
        leaving: Collection[Instance] = self.for_memory()
        return sorted(one.id.name for one in self.instances() if one not in leaving)

    def _is_passing(self, instance: Instance) -> bool:
        return instance.origin == "outside" and instance.id.name in self.passing and self.is_spare(instance)
