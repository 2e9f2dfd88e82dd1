"""What is remembered, and how little memory it takes."""

from __future__ import annotations

import asyncio
import math
import time

import msgspec
import pytest
from msgspec import Struct

from lmgateway.observe.exchange import Exchange
from lmgateway.observe.remembered import PACKED_AT_ONCE, Remembered
from lmgateway.observe.speeds import HOUR_EXCHANGES, HOUR_SECONDS, Speed, Speeds
from lmgateway.observe.tokens import TokenCount


class Number(Struct, frozen=True):
    value: int


async def test_packed_or_not_the_same_is_remembered() -> None:
    remembered = Remembered(Number, 250, Number)
    for value in range(120):
        remembered.add(value)
    before = remembered.all()
    await remembered.pack()
    assert remembered.all() == before == [Number(value) for value in range(120)]
    assert not remembered._live
    for value in range(120, 300):
        remembered.add(value)
    expected = [Number(value) for value in range(50, 300)]
    assert remembered.all() == expected
    await remembered.pack()
    assert remembered.all() == expected


async def test_packing_lets_others_have_their_turn() -> None:
    remembered = Remembered(Number, 10 * PACKED_AT_ONCE, Number)
    for value in range(10 * PACKED_AT_ONCE):
        remembered.add(value)
    packing = asyncio.create_task(remembered.pack())
    turns = 0
    while not packing.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 10


async def test_packing_takes_no_longer_for_what_is_packed_already(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand large events are looked at a hundred at a time, not all at each step."""
    remembered = Remembered(Number, 10 * PACKED_AT_ONCE, Number)
    steps: list[int] = []
    encode = msgspec.msgpack.encode

    def counting(values: list[Number]) -> bytes:
        steps.append(len(values))
        return encode(values)

    monkeypatch.setattr(msgspec.msgpack, "encode", counting)
    for _ in range(3):
        for value in range(10 * PACKED_AT_ONCE + 1):
            remembered.add(value)
        await remembered.pack()
    assert max(steps) == PACKED_AT_ONCE
    assert remembered.all() == [Number(value) for value in range(1, 10 * PACKED_AT_ONCE + 1)]


async def test_packing_a_few_at_a_time_leaves_few_pieces() -> None:
    """One event every ten seconds mustn't become a thousand small pieces."""
    remembered = Remembered(Number, 10 * PACKED_AT_ONCE, Number)
    for value in range(3 * PACKED_AT_ONCE):
        remembered.add(value)
        await remembered.pack()
    assert len(remembered._packets) == 3
    assert remembered.all() == [Number(value) for value in range(3 * PACKED_AT_ONCE)]


async def test_packing_ends_though_more_comes_all_the_time() -> None:
    """What comes while it packs is for the next time, or it would never be done under load."""
    remembered = Remembered(Number, PACKED_AT_ONCE, Number)
    remembered.add(Number(0))
    packing = asyncio.create_task(remembered.pack())
    for value in range(1, 5):
        await asyncio.sleep(0)
        remembered.add(Number(value))
    assert packing.done()
    assert len(remembered._live) == 4


def ended(*, generated: int, seconds_ago: float = 0.0, first_token: bool = True) -> Exchange:
    """An exchange of one second whose first token came in its middle, and whose last one at its end."""
    exchange = Exchange("id", "client", "POST", "/")
    exchange.ended = time.monotonic() - seconds_ago
    exchange.started = exchange.ended - 1
    exchange.stream, exchange.count = True, TokenCount(seen=generated)
    if first_token:
        exchange.first_token, exchange.last_token = exchange.ended - 0.5, exchange.ended
    return exchange


def test_speeds_are_told_as_they_were() -> None:
    speeds = Speeds()
    exchanges = [ended(generated=11), ended(generated=1, first_token=False)]
    for exchange in exchanges:
        speeds.add(exchange)
    assert list(speeds.last_hour()) == [
        Speed(exchanges[0].wall_clock, 500, 20.0),
        Speed(exchanges[1].wall_clock, None, None),
    ]


def test_speeds_are_of_the_last_hour_and_no_more_than_some() -> None:
    speeds = Speeds()
    speeds.add(ended(generated=1, seconds_ago=HOUR_SECONDS + 1))
    speeds.add(ended(generated=2))
    assert [speed.tokens_per_second for speed in speeds.last_hour()] == [pytest.approx(2.0)]
    for generated in range(2, 5 * HOUR_EXCHANGES + 1):
        speeds.add(ended(generated=generated))
    told = [speed.tokens_per_second or math.nan for speed in speeds.last_hour()]
    assert len(told) == HOUR_EXCHANGES
    assert told[-1] == pytest.approx(2 * (5 * HOUR_EXCHANGES - 1))
    assert len(speeds._rows) <= 8 * HOUR_EXCHANGES
