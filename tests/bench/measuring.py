"""How a target is measured."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from . import wrk
from .asking import Asking, warm_up
from .figures import KILOBYTE, MEGABYTE, Busy, Figures, OfRequests, OfStreams, Percentiles
from .place import Place, Running
from .streams import Streams
from .targets import Target
from .wire import chat

STREAMS = 100
TOKENS_PER_SECOND = 50
# A stream is no longer when it is the first token that counts, so that there are many of them.
SHORT_STREAM_SECONDS = 1.0
_OPENED_PER_SECOND = 200
_WARM_STREAMS = 8
SETTLE_SECONDS = 60.0
_LOOK_SECONDS = 0.2
_IDLE_SHARE = 0.1


class Subject:
    """A running target, and its figures in each round."""

    def __init__(self, place: Place, target: Target, running: Running) -> None:
        """To be made before it was asked anything, because it is idle then."""
        self.target = target
        self.running = running
        self._place = place
        self._idle = running.accounts(place).resident_bytes()
        self._found: dict[str, list[Any]] = {side: [] for side in SIDES}

    async def look(self, side: str, seconds: float) -> None:
        """Look at one side for so long. Raises wrk.Failed, TimeoutError."""
        self._found[side].append(await SIDES[side](self._place, self.running, seconds))

    def rounds(self) -> list[Figures]:
        after = self.running.accounts(self._place).resident_bytes()
        rounds = [
            Figures(
                name=self.target.name,
                title=self.target.title,
                idle_mb=self._idle / MEGABYTE,
                after_mb=after / MEGABYTE,
                **dict(zip(SIDES, sides, strict=True)),
            )
            for sides in zip(*self._found.values(), strict=True)
        ]
        # Later streams have the memory of the first ones again.
        stream_kb = rounds[0].streams.stream_kb
        return [replace(figures, streams=replace(figures.streams, stream_kb=stream_kb)) for figures in rounds]


async def settle(subjects: Iterable[Subject]) -> None:
    """Wait until none has work left of what it was asked before: they share a core."""
    accounts = [subject.running.account for subject in subjects if subject.running.account is not None]
    async with asyncio.timeout(SETTLE_SECONDS):
        while True:
            before = sum(account.cpu_seconds() for account in accounts)
            await asyncio.sleep(_LOOK_SECONDS)
            if sum(account.cpu_seconds() for account in accounts) - before < _LOOK_SECONDS * _IDLE_SHARE:
                return


async def warm(running: Running) -> None:
    """Have everything done once that is measured."""
    door = running.door
    await warm_up(door.port, door.post(chat(model=door.model)))
    streams = Streams(door, _WARM_STREAMS, tokens=10, rate=TOKENS_PER_SECOND)
    await streams.open(0.1)
    await streams.end()


async def of_requests(place: Place, running: Running, body: bytes, seconds: float) -> OfRequests:
    accounts = running.accounts(place)
    before = accounts.spent()
    counted = await wrk.requests(running.door, body, seconds)
    spent = accounts.spent() - before
    return OfRequests(counted.per_second, spent.target * 1e6 / counted.requests, Busy.of(spent))


async def of_latency(running: Running, seconds: float) -> Percentiles:
    door = running.door
    async with Asking.connected(door.port) as client:
        return Percentiles.of(await client.ask_for(door.post(chat(model=door.model)), seconds))


async def of_first_tokens(running: Running, seconds: float) -> Percentiles:
    """Time to the first token while as many streams as always come and go."""
    short = min(SHORT_STREAM_SECONDS, seconds)
    streams = Streams(
        running.door, STREAMS, math.ceil(short * TOKENS_PER_SECOND), TOKENS_PER_SECOND, again=True
    )
    try:
        # Over a stream's life, so that they don't all begin together.
        await streams.open(short)
        with streams.record.recording():
            await asyncio.sleep(seconds)
        await streams.end()
    finally:
        streams.abort()
    return Percentiles.of(streams.record.first_tokens)


async def of_streams(place: Place, running: Running, number: int, rate: int, seconds: float) -> OfStreams:
    """Have so many streams open, of `rate` tokens a second, and look for so long."""
    accounts = running.accounts(place)
    before = accounts.resident_bytes()
    opening = number / _OPENED_PER_SECOND
    # Long enough that none has ended when the last look is taken, even if opening them takes twice as long.
    life = 2 * opening + seconds + 0.2
    streams = Streams(running.door, number, math.ceil(rate * life), rate)
    try:
        await streams.open(opening)
        began = accounts.spent()
        with streams.record.recording():
            await asyncio.sleep(seconds)
        spent, memory = accounts.spent() - began, accounts.resident_bytes()
        still_open = streams.open_now
        await streams.end()
    finally:
        streams.abort()
    record = streams.record
    return OfStreams(
        number=number,
        open=still_open,
        tokens_per_second=len(record.delays) / spent.seconds,
        cpu_us=spent.target * 1e6 / len(record.delays),
        delay_ms=Percentiles.of(record.delays),
        added_gap_ms=Percentiles.of(record.added_gaps),
        largest_gap_ms=record.largest_gap / 1e6,
        stream_kb=(memory - before) / KILOBYTE / number,
        whole=streams.count("whole"),
        cut=streams.count("cut"),
        lost_tokens=streams.count("lost"),
        busy=Busy.of(spent),
    )


# Named as in Figures.
SIDES: Mapping[str, Callable[[Place, Running, float], Awaitable[OfStreams | OfRequests | Percentiles]]] = {
    "streams": lambda place, running, seconds: of_streams(
        place, running, STREAMS, TOKENS_PER_SECOND, seconds
    ),
    "first_token_ms": lambda _, running, seconds: of_first_tokens(running, seconds),
    "latency_ms": lambda _, running, seconds: of_latency(running, seconds),
    "requests": lambda place, running, seconds: of_requests(
        place, running, chat(model=running.door.model), seconds
    ),
}
