"""The last of something, kept so that it doesn't keep other memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

Live = TypeVar("Live")
Kept = TypeVar("Kept", bound=Struct)

PACKED_AT_ONCE = 100


class _Packet(NamedTuple):
    number: int
    packed: bytes


class Remembered(Generic[Live, Kept]):
    """The last values of a kind, up to `most`.

    Small objects that live long keep all the memory around them from being given back after a busy time: a
    hundred of them were as many megabytes. So they are packed from time to time, into a few large pieces.
    """

    def __init__(self, kept: type[Kept], most: int, keep: Callable[[Live], Kept]) -> None:
        """`keep` makes of a value what is kept; it is called when somebody asks, or when it is packed."""
        self._most = most
        self._keep = keep
        self._decoder = msgspec.msgpack.Decoder(list[kept])  # type: ignore[valid-type]
        self._packets: deque[_Packet] = deque()
        self._live: deque[Live] = deque(maxlen=most)

    def add(self, value: Live) -> None:
        self._live.append(value)

    def all(self) -> list[Kept]:
        """Return them, oldest first."""
        packed = (value for packet in self._packets for value in self._decoder.decode(packet.packed))
        return [*packed, *map(self._keep, self._live)][-self._most :]

    async def pack(self) -> None:
        """Pack those of now, some at a time, so that nobody waits for it."""
        left = len(self._live)
        while left:
            number = min(PACKED_AT_ONCE, left)
            left -= number
            self._pack([self._keep(self._live.popleft()) for _ in range(number)])
            await asyncio.sleep(0)

    def _pack(self, values: list[Kept]) -> None:
        if self._packets and self._packets[-1].number + len(values) <= PACKED_AT_ONCE:
            values = [*self._decoder.decode(self._packets.pop().packed), *values]
        self._packets.append(_Packet(len(values), msgspec.msgpack.encode(values)))
        while sum(packet.number for packet in self._packets) - self._packets[0].number >= self._most:
            self._packets.popleft()
