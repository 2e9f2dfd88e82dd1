"""What happens without a request: pinned models are loaded, and idle ones unloaded."""

from __future__ import annotations

from math import inf

from ...schema.common import ModelType, likely_type
from ..tickets import Wanted
from .hopeless import Hopeless
from .leaving import Leaving
from .room import Room
from .rounds import Round


class Upkeep:
    """The owner of the pinned models that are still to be loaded because LM Studio was started."""

    def __init__(self, current: Round, room: Room, leaving: Leaving, hopeless: Hopeless) -> None:
        self._round = current
        self._room = room
        self._leaving = leaving
        self._hopeless = hopeless
        self._pins: list[str] = []

    def came_up(self) -> None:
        self._pins = [*dict.fromkeys(self._room.terms.pins)]

    def __bool__(self) -> bool:
        """True while pinned models are to be loaded."""
        return bool(self._pins)

    def next_pin(self) -> tuple[Wanted, ModelType] | None:
        """Return the pinned model that is to be loaded now. No other load is in progress."""
        while self._pins and not self._hopeless.is_pausing():
            pin = self._pins[0]
            kind, target = likely_type(pin), Wanted(self._room.box, pin)
            failure = self._hopeless.failures.of(pin, self._round.now)
            if failure is not None or self._room.has(target):
                self._pins.pop(0)
            elif self._room.has_room(pin, kind):
                return target, kind
            else:
                victim = self._room.victim(kind)
                if victim is not None and self._room.is_spare(victim):
                    self._leaving.unload(victim)
                return None  # it waits until that is gone, or until nothing runs on it
        return None

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
