"""What happens without a request: pinned models are loaded, and idle ones unloaded."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from ...schema.common import ModelType, likely_type
from ..slots import Instance
from ..tickets import Wanted
from .hopeless import RETRY_SECONDS, Hopeless
from .leaving import Leaving
from .room import Room
from .rounds import Round
from .shortage import Shortage


class Upkeep:
    """The owner of the pinned models that are still to be loaded because LM Studio was started."""

    def __init__(
        self, current: Round, room: Room, leaving: Leaving, hopeless: Hopeless, shortage: Shortage
    ) -> None:
        self._round = current
        self._room = room
        self._leaving = leaving
        self._hopeless = hopeless
        self._shortage = shortage
        self._pins: list[str] = []

    def came_up(self) -> None:
        self._pins = [*dict.fromkeys(self._room.terms.pins)]

    def __bool__(self) -> bool:
        """True while pinned models are to be loaded."""
        return bool(self._pins)

    @property
    def targets(self) -> Iterable[Wanted]:
        """The pinned models that are still to be loaded."""
        return [Wanted(self._room.box, pin) for pin in self._pins]

    def give_up(self, model: str) -> None:
        """Don't load a pinned model before a request asks for it."""
        if model in self._pins:
            self._pins.remove(model)

    def next_pin(self) -> tuple[Wanted, ModelType] | None:
        """Return the pinned model that is to be loaded now. No other load is in progress."""
        while self._pins and not self._hopeless.is_pausing():
            pin = self._pins[0]
            kind, target = likely_type(pin), Wanted(self._room.box, pin)
            failure = self._hopeless.failures.of(pin, self._round.now)
            if failure is not None or self._room.has(target) or not self._room.is_pinned(pin):
                self._pins.pop(0)
            elif target in self._shortage and self._unload_spare(self._room.for_memory()):
                return None  # then it is tried for the last time: what is busy doesn't drain for it
            elif self._room.has_room(pin, kind):
                return target, kind
            else:
                victim = self._room.victim(kind)
                self._unload_spare([] if victim is None else [victim])
                return None  # it waits until that is gone, or until nothing runs on it
        return None

    def _unload_spare(self, instances: Iterable[Instance]) -> bool:
        """Unload those on which nothing runs; return whether any of these is to be gone soon."""
        is_leaving = False
        for instance in instances:
            if instance.state != "resident":
                is_leaving = True
            elif self._room.is_spare(instance):
                is_leaving = True
                # LM Studio may have counted requests of others on it a moment ago.
                at = instance.idle_since + RETRY_SECONDS
                if at > self._round.now:
                    self._round.look_again(at)
                else:
                    self._leaving.unload(instance)
        return is_leaving

    def unload_idle(self) -> None:
        """Unload what was loaded for requests and hasn't had any for too long."""
        seconds = self._room.terms.idle_seconds
        for instance in self._room.instances() if seconds < inf else ():
            if instance.state != "resident" or not self._room.may_leave(instance):
                continue
            at = max(instance.idle_since + seconds, self._hopeless.retry_at)
            if at > self._round.now:
                self._round.look_again(at)
            elif self._room.is_spare(instance):
                self._leaving.unload(instance)
            else:  # the end of a request isn't an event unless somebody waits
                self._round.look_again(self._round.now + seconds)
