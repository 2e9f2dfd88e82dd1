"""Events on their way to listeners."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cached_property

import msgspec
from msgspec import Struct


def sse_frame(name: str, data: bytes, number: int | None = None) -> bytes:
    """Return an event as it goes over the wire (HTML standard, section 9.2.6); `data` is one line of JSON."""
    numbered = b"" if number is None else b"id: %d\n" % number
    return b"%sevent: %s\ndata: %s\n\n" % (numbered, name.encode(), data)


class Past(Struct, frozen=True):
    """An event that was published a while ago."""

    number: int
    name: str
    frame: bytes


class Published:
    """An event that is numbered in order; made and encoded once for all listeners, if there are any."""

    __slots__ = ("_frame", "_make", "name", "number")

    def __init__(self, number: int, name: str, make: Callable[[], Struct]) -> None:
        self.number = number
        self.name = name
        self._make: Callable[[], Struct] | None = make
        self._frame = b""

    @property
    def frame(self) -> bytes:
        if self._make is not None:
            self._frame = sse_frame(self.name, msgspec.json.encode(self._make()), self.number)
            self._make = None
        return self._frame

    def past(self) -> Past:
        return Past(self.number, self.name, self.frame)


class Batch:
    """Events that go out together."""

    def __init__(self, events: Sequence[Published | Past]) -> None:
        self.events = events

    @cached_property
    def frames(self) -> bytes:
        return b"".join([published.frame for published in self.events])

    def only(self, names: Collection[str]) -> Batch:
        """Return those of these names; of any if there are none."""
        if not names:
            return self
        return Batch([published for published in self.events if published.name in names])
