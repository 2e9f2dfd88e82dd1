"""When a box is greeted, woken and left alone, by a clock that a test advances."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from yarl import URL

from lmgateway.boxes.attendance import Attendance
from lmgateway.boxes.signs_of_life import SignsOfLife
from lmgateway.config import LMStudio
from tests.fleet.packets import MAC, PACKET, Packets, packets
from tests.support.clock import Clock
from tests.support.waiting import PATIENCE_SECONDS


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
async def network() -> AsyncIterator[Packets]:
    async with packets() as received:
        yield received


class Watched:
    """A box that answers its greeting if `answers`; `greetings` counts them, `told` has its states."""

    def __init__(self, clock: Clock, **settings: Any) -> None:
        self.answers, self.is_busy = True, False
        self.greetings = self.silences = 0
        self.told: list[tuple[str, str]] = []
        self.signs = SignsOfLife()
        self._clock = clock
        self.attendance = Attendance(
            "pc",
            LMStudio(base_url=URL("http://127.0.0.1:1"), **settings),
            self.signs,
            self._greet,
            is_busy=lambda: self.is_busy,
            on_change=lambda state, reason: self.told.append((state, reason)),
            on_rest=lambda is_resting: self.told.append(("rests" if is_resting else "is used", "")),
            on_silence=self._was_silent,
        )

    async def __aenter__(self) -> Watched:
        self.attendance.start()
        await self._clock.pass_seconds(0)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.attendance.close()

    async def _greet(self) -> bool | None:
        self.greetings += 1
        return True if self.answers else None

    def _was_silent(self) -> None:
        self.silences += 1

    @property
    def states(self) -> list[str]:
        return [state for state, _ in self.told]

    async def pass_seconds(self, seconds: int) -> int:
        """Advance the clock second by second; return how many greetings there were."""
        before = self.greetings
        for _ in range(seconds):
            await self._clock.pass_seconds(1)
        return self.greetings - before

    async def goes_down(self) -> None:
        self.answers = False
        await self.pass_seconds(14)
        assert self.states[-1] == "down"


async def next_packet(network: Packets) -> bytes:
    return await asyncio.wait_for(network.received.get(), PATIENCE_SECONDS)


async def test_it_is_greeted_every_ten_seconds_for_ten_minutes(clock: Clock) -> None:
    """Then nothing is sent for as long as nobody uses it."""
    async with Watched(clock) as box:
        assert await box.pass_seconds(600) in {59, 60}
        assert box.told == [("up", "LM Studio answers"), ("rests", "")]
        assert await box.pass_seconds(3600) == 0
        box.attendance.used()
        assert await box.pass_seconds(1) == 1
        assert box.states[-1] == "is used"


async def test_two_failures_are_down(clock: Clock) -> None:
    """Then it is greeted every 5 s for a minute, and every minute while it isn't idle."""
    async with Watched(clock) as box:
        await box.goes_down()
        assert box.told[1:] == [("down", "LM Studio doesn't answer")]
        assert await box.pass_seconds(58) in {11, 12}
        assert await box.pass_seconds(500) in {8, 9}
        assert await box.pass_seconds(3600) == 0
        assert box.silences == box.greetings - 3  # the first was answered, and two made it down


async def test_a_packet_is_sent_every_ten_seconds_until_it_answers(clock: Clock, network: Packets) -> None:
    """And LM Studio is asked every 2 s."""
    async with Watched(clock, wake_mac=MAC, wake_address=network.address) as box:
        await box.goes_down()
        box.attendance.wake("a request needs it")
        assert box.told[-1] == ("waking", "a request needs it")
        await box.pass_seconds(1)
        assert await next_packet(network) == PACKET
        for _ in range(3):
            assert await box.pass_seconds(8) == 4
            assert network.received.empty()
            await box.pass_seconds(2)
            assert await next_packet(network) == PACKET
            box.attendance.wake("another request needs it")
        box.answers = True
        await box.pass_seconds(3)
        assert box.states[-1] == "up"
        await box.pass_seconds(60)
        assert network.received.empty()


async def test_a_wake_ends_at_its_time_out(clock: Clock, network: Packets) -> None:
    """At once, and not after the next greeting, which nothing may answer. The next wake begins anew."""
    async with Watched(clock, wake_mac=MAC, wake_address=network.address, wake_timeout_ms=5500) as box:
        await box.goes_down()
        for _ in range(2):
            box.attendance.wake("a request needs it")
            assert await next_packet(network) == PACKET
            await clock.pass_seconds(5.4)
            assert box.states[-1] == "waking"
            await clock.pass_seconds(0.2)
            assert box.states[-1] == "down"


async def test_what_it_sends_counts_as_its_greeting(clock: Clock) -> None:
    """While it is busy, its greeting may be late. When it sends nothing any more, it is down."""
    async with Watched(clock) as box:
        box.answers = False
        greet = box._greet

        async def greet_while_bytes_arrive() -> bool | None:
            box.signs.heard = True
            return await greet()

        box.attendance._greet = greet_while_bytes_arrive
        await box.pass_seconds(300)
        assert box.states == ["up"]
        box.attendance._greet = greet
        await box.goes_down()


async def test_another_server_at_its_address_is_not_it(clock: Clock) -> None:
    """A proxy that reports an error sends bytes too."""
    async with Watched(clock) as box:

        async def answer_with_an_error() -> bool | None:
            box.signs.heard = True
            return False

        box.attendance._greet = answer_with_an_error
        await box.pass_seconds(14)
        assert box.states == ["up", "down"]


async def test_a_busy_box_does_not_rest(clock: Clock) -> None:
    async with Watched(clock) as box:
        box.is_busy = True
        await box.pass_seconds(3600)
        assert box.states == ["up"]
        box.is_busy = False
        await box.pass_seconds(605)
        assert box.states == ["up", "rests"]


async def test_a_lost_connection_is_no_use(clock: Clock) -> None:
    """It is greeted at once, because it may be down. But it rests when it would have rested."""
    async with Watched(clock) as box:
        await box.pass_seconds(595)
        greetings = box.greetings
        box.attendance.suspected()
        await box.pass_seconds(2)
        assert box.greetings == greetings + 1
        await box.pass_seconds(4)
        assert box.states == ["up", "rests"]


async def test_a_box_that_was_left_alone_may_be_woken(clock: Clock, network: Packets) -> None:
    """It counts as up, and may have fallen asleep meanwhile. Without a MAC address it is only greeted."""
    async with Watched(clock, wake_mac=MAC, wake_address=network.address) as box:
        await box.pass_seconds(605)
        awake = asyncio.create_task(box.attendance.awaken("somebody asked for it"))
        await box.pass_seconds(2)
        assert await next_packet(network) == PACKET
        await box.pass_seconds(2)
        assert await awake
    async with Watched(clock) as box:
        await box.pass_seconds(605)
        greetings = box.greetings
        assert await box.attendance.awaken("somebody asked for it")
        await box.pass_seconds(1)
        assert box.greetings == greetings + 1
