"""The benchmark's own parts, with a gateway inside this process: they count what went over the wire."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from tests.bench import tables
from tests.bench.__main__ import main
from tests.bench.asking import Asking
from tests.bench.fake_studio import FakeStudio
from tests.bench.figures import Busy, Figures, OfRequests, OfStreams, Percentiles, median
from tests.bench.pairs import compare
from tests.bench.streams import Streams
from tests.bench.wire import Door, chat
from tests.conftest import StartGateway

KEY = "a-long-secret"


@pytest.fixture
async def studio_url() -> AsyncIterator[str]:
    server = await asyncio.get_running_loop().create_server(FakeStudio, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_streams_are_counted_whole_through_the_gateway(
    start_gateway: StartGateway, studio_url: str
) -> None:
    """Every token of every stream, each with a delay that is shorter than the whole test."""
    gateway = await start_gateway(studio_url, auth={"api_key": KEY})
    streams = Streams(Door(gateway.port, KEY), number=5, tokens=20, rate=500)
    began = time.monotonic_ns()
    with streams.record.recording():
        await streams.open(0.05)
        await streams.end()
    took = time.monotonic_ns() - began
    assert [streams.count(name) for name in ("whole", "cut", "lost")] == [5, 0, 0]
    assert len(streams.record.delays) == 5 * 20
    assert len(streams.record.first_tokens) == 5
    assert all(0 < delay < took for delay in streams.record.delays)


async def test_stream_that_breaks_off_is_counted_as_cut(start_gateway: StartGateway, studio_url: str) -> None:
    gateway = await start_gateway(studio_url, auth={"api_key": KEY})
    streams = Streams(Door(gateway.port, KEY), number=2, tokens=10_000, rate=100)
    await streams.open(0)
    streams.abort()
    await asyncio.wait_for(asyncio.gather(*(stream.ended.wait() for stream in streams.all)), 5)
    assert [streams.count(name) for name in ("whole", "cut")] == [0, 2]
    assert streams.count("lost") > 19_000


async def test_requests_are_timed_one_after_the_other(start_gateway: StartGateway, studio_url: str) -> None:
    gateway = await start_gateway(studio_url, auth={"api_key": KEY})
    door = Door(gateway.port, KEY)
    async with Asking.connected(door.port) as client:
        took = await client.ask_for(door.post(chat()), 0.1)
    assert took
    assert sum(took) <= 0.2e9


def figures(name: str, microseconds: float) -> Figures:
    busy, times = Busy(90, 20, 20, 0), Percentiles(microseconds / 100, microseconds / 50, microseconds)
    requests = OfRequests(1e6 / microseconds, microseconds, busy)
    streams = OfStreams(
        *(100, 100, 5000, microseconds / 4, times, times, 25.0, 28.0),
        whole=100,
        cut=0,
        lost_tokens=0,
        busy=busy,
    )
    return Figures(name, name.title(), requests, streams, times, times, idle_mb=50, after_mb=60)


def test_table_and_ratios_say_what_was_measured() -> None:
    """A ratio is of the same round: while the machine was slow, it was so for both."""
    costs = {"direct": (1, 1, 1), "aiohttp": (200, 900, 100), "lmgateway": (220, 990, 190)}
    rounds = {name: [figures(name, cost) for cost in of_target] for name, of_target in costs.items()}
    shown = tables.comparison([median(of_target) for of_target in rounds.values()]).splitlines()
    assert len({len(line) for line in shown}) == 1
    assert [cell.strip() for cell in shown[-1].split("|")[1:4]] == ["Lmgateway", "4,545", "220"]
    assert "CPU per request: 1.10 times Aiohttp (220 µs, 200); at most 1.25" in tables.ratios(rounds)


def test_pairs_are_compared_within_their_round() -> None:
    """A round in which the machine was four times as slow doesn't change the ratio."""
    first, second = compare({"less": [100, 200, 400], "more": [110, 220, 440]})
    assert (first.cpu_us, first.ratios) == (200, ())
    assert second.cpu_us == 220
    assert second.ratios == pytest.approx((1.1, 1.1, 1.1))


def test_median_is_taken_number_by_number() -> None:
    middle = median([figures("x", cost) for cost in (300, 100, 200)])
    assert middle == figures("x", 200)


@pytest.mark.parametrize("arguments", [["--targets", "nothing"], ["--seconds", "x"]])
def test_wrong_arguments_are_said_to_be_wrong(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = main(arguments)
    except SystemExit as exc:
        status = int(str(exc.code))
    assert status == 2
    assert arguments[1] in capsys.readouterr().err
