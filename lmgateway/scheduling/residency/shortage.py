"""Loads that found no memory: what may be unloaded goes, and then they are tried once more."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from ..tickets import Wanted
from . import refusals
from .effects import LoadFailure
from .hopeless import Hopeless
from .room import Room
from .rounds import Round

# After an unload the memory may be free a little later than LM Studio's list says.
MEMORY_SECONDS = 5.0


class Shortage:
    """The owner of what found no memory once, and is tried again when nothing else may be unloaded."""

    def __init__(self, current: Round, room: Room, hopeless: Hopeless) -> None:
        self._round = current
        self._room = room
        self._hopeless = hopeless
        self.start_over()

    def start_over(self) -> None:
        """Forget what is known of LM Studio."""
        self._waiting: set[Wanted] = set()
        self._unloaded_at = -inf

    def __contains__(self, target: Wanted) -> bool:
        return target in self._waiting

    def is_of(self, model: str) -> bool:
        """True if a load of this model has found no memory, and is to be tried once more."""
        return any(target.model == model for target in self._waiting)

    def unloaded(self) -> None:
        """Take in that an instance was unloaded now."""
        self._unloaded_at = self._round.now

    def is_memory_late(self, now: float) -> bool:
        """True if more memory may be free in a moment."""
        return now - self._unloaded_at < MEMORY_SECONDS

    def ended(self, target: Wanted) -> None:
        self._waiting.discard(target)

    def keep(self, targets: Iterable[Wanted]) -> None:
        """Forget all but these: nobody waits for the others any more."""
        self._waiting.intersection_update(targets)

    def found(self, target: Wanted, failure: LoadFailure) -> None:
        """Take in that a load found no memory, for the first time or once more."""
        if self.is_memory_late(self._round.now):
            self._hopeless.pause()
            return
        self._room.passing = failure.passing
        if target not in self._waiting and self._room.for_memory():
            self._waiting.add(target)
            return
        self._waiting.discard(target)
        others, model, words = self._room.in_the_way(), target.model, failure.words
        error = refusals.load_failed(model, words)
        if others:
            error = refusals.blocked_by_others(model, others, words)
        self._hopeless.failures.add(model, error, self._round.now, of_memory=True)
