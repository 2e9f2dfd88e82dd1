"""Server-Sent Events, each encoded once for all subscribers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property

import msgspec

from .events import Event
from .faults import Faults


def sse_frame(name: str, data: bytes, number: int | None = None) -> bytes:
    """Encode an event (HTML standard, section 9.2.6); `data` is one line of JSON."""
    numbered = b"" if number is None else b"id: %d\n" % number
    return b"%sevent: %s\ndata: %s\n\n" % (numbered, name.encode(), data)


class NumberedEvent:
    """A published event. It is encoded once, when the first subscriber reads it.

    An event that can't be encoded is left out of every stream, which would otherwise end at it.
    """

    __slots__ = ("_event", "_faults", "_frame", "name", "number")

    def __init__(self, number: int, event: Event, faults: Faults) -> None:
        self.number = number
        self.name = event.name
        self._event: Event | None = event
        self._faults = faults
        self._frame = b""

    @property
    def frame(self) -> bytes:
        if self._event is not None:
            try:
                self._frame = sse_frame(self.name, msgspec.json.encode(self._event), self.number)
            except Exception:  # a fault of one event ends no stream
                self._faults.log(f"Encoding the event {self.name}")
            self._event = None
        return self._frame


class Batch:
    """Events that are sent together."""

    def __init__(self, events: Sequence[NumberedEvent]) -> None:
        self.events = events

    @cached_property
    def frames(self) -> bytes:
        return b"".join([event.frame for event in self.events])

    def only(self, names: Collection[str]) -> Batch:
        """Return the events of these names; all, if no names are given."""
        if not names:
            return self
        return Batch([event for event in self.events if event.name in names])
