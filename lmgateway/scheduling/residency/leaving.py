"""The instances that leave the memory: they drain, if requests run on them, and are unloaded then."""

from __future__ import annotations

from typing import Literal

from ..slots import Instance
from .effects import DrainEnd, DrainStart, Unload
from .room import Room
from .rounds import Round


class Leaving:
    """The owner of what somebody asked to unload, and of the drains that were announced."""

    def __init__(self, current: Round) -> None:
        self._round = current
        # Whether to unload them at once.
        self._asked: dict[Instance, bool] = {}
        self._drained: set[Instance] = set()

    def __len__(self) -> int:
        """Return how many drain."""
        return len(self._drained) + len(self._asked)

    def ask(self, instance: Instance, *, force: bool) -> None:
        self._asked[instance] = force or self._asked.get(instance, False)

    def is_asked(self, instance: Instance) -> bool:
        return instance in self._asked

    def withdraw(self, instance: Instance) -> bool:
        """Forget that somebody asked to unload it; return whether anybody did."""
        return self._asked.pop(instance, None) is not None

    def drain(self, instance: Instance, wanted: str | None) -> None:
        """Send it no new requests; `wanted` is the model that needs its room."""
        self._round.line.set_state(instance, "draining")
        self._drained.add(instance)
        self._round.do(DrainStart(instance, wanted))

    def unload(self, instance: Instance, *, is_forced: bool = False) -> None:
        self._round.line.set_state(instance, "unloading")
        self._round.do(Unload(instance, is_forced))

    def unload_asked(self, room: Room) -> None:
        """Go on with those that somebody asked to unload."""
        for instance, is_forced in self._asked.items():
            may_go = is_forced or room.is_done(instance)
            if may_go and instance.state in {"resident", "draining"}:
                self.unload(instance, is_forced=is_forced)
            elif instance.state == "resident":
                self.drain(instance, None)

    def is_kept_draining(self, instance: Instance) -> bool:
        """True for one that was to be unloaded, and on which requests of others were found."""
        if instance in self._drained:
            self._round.line.set_state(instance, "draining")
        elif instance in self._asked:
            self.drain(instance, None)
        return instance in self._drained

    def open(self, instance: Instance) -> None:
        """Send it requests again."""
        self._end_drain(instance, "revoked")
        line = self._round.line
        line.set_state(instance, "resident")
        self._round.let_in(line.dispatch(self._round.now))

    def gone(self, instance: Instance) -> None:
        """Take in that it is in memory no more, whoever unloaded it."""
        self.withdraw(instance)
        self._end_drain(instance, "unloaded")

    def _end_drain(self, instance: Instance, outcome: Literal["unloaded", "revoked"]) -> None:
        if instance in self._drained:
            self._drained.remove(instance)
            self._round.do(DrainEnd(instance, outcome))
