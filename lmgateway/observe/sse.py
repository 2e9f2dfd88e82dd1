"""Server-Sent Events, each encoded once for all subscribers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cached_property

import msgspec

from .events import Event
from .faults import Faults

# What is written to a subscriber at once; only so much is copied for one that doesn't read.
PIECE_BYTES = 64 * 1024


def sse_frame(name: str, data: bytes, number: int | None = None) -> bytes:
    """Encode an event (HTML standard, section 9.2.6); `data` is one line of JSON."""
    numbered = b"" if number is None else b"id: %d\n" % number
    return b"%sevent: %s\ndata: %s\n\n" % (numbered, name.encode(), data)


class NumberedEvent:
    """A published event. It is encoded once, when the first subscriber reads it or to measure its size.

    An event that can't be encoded is left out of every stream, which would otherwise end at it.
    """

    __slots__ = ("_event", "_faults", "_frame", "name", "number", "size")

    def __init__(self, number: int, event: Event, faults: Faults) -> None:
        self.number = number
        self.name = event.name
        self._event: Event | None = event
        self._faults = faults
        self._frame = b""
        # At most so many bytes are in its frame.
        self.size = event.most_bytes or len(self.frame)

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
    """Events that are sent together.

    What is joined of a shared batch is joined once for all its subscribers, of another one anew each time, so
    that subscribers that don't read hold no copies.
    """

    def __init__(self, events: Sequence[NumberedEvent], *, is_shared: bool = False) -> None:
        self.events = events
        self.size = sum([event.size for event in events])
        self._is_shared = is_shared

    def pieces(self) -> Sequence[bytes] | Iterator[bytes]:
        """Return the events' frames, joined to pieces of about PIECE_BYTES."""
        return self._shared_pieces if self._is_shared else self._join()

    @cached_property
    def _shared_pieces(self) -> Sequence[bytes]:
        return list(self._join())

    def _join(self) -> Iterator[bytes]:
        joined, size = [], 0
        for event in self.events:
            joined.append(event.frame)
            size += len(joined[-1])
            if size >= PIECE_BYTES:
                yield b"".join(joined)
                joined, size = [], 0
        if joined:
            yield b"".join(joined)

    @property
    def frames(self) -> bytes:
        return b"".join(self.pieces())

    def only(self, names: Collection[str]) -> Batch:
        """Return the events of these names; all, if no names are given."""
        if not names:
            return self
        chosen = [event for event in self.events if event.name in names]
        return self if len(chosen) == len(self.events) else Batch(chosen)
