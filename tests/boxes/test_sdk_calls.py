"""The one connection to LM Studio: shared, replaced when it is lost, awaited with a timeout."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from lmgateway.simulator import Pace, Simulator
from tests.conftest import StartGateway
from tests.support.clock import Clock
from tests.support.home import QUICK, Home
from tests.support.process import lmgateway
from tests.support.raw_server import raw_server
from tests.support.studio import Held, Studio

LLM = "qwen2.5-7b-instruct"


async def test_twenty_first_callers_make_one_connection(home: Home) -> None:
    """Calls during the connection's set-up share it: three sockets, not sixty."""
    answers = await asyncio.gather(*(home.get("/admin/models") for _ in range(20)))
    assert {status for status, _ in answers} == {200}
    assert home.studio.upgrades == {"/embedding": 1, "/llm": 1, "/system": 1}


async def test_nothing_is_connected_before_it_is_needed(home: Home) -> None:
    """Requests that only pass through need no SDK."""
    assert (await home.get("/v1/models"))[0] == 200
    assert home.studio.upgrades == {}


@pytest.mark.parametrize("action", ["load", "unload"])
async def test_restart_between_calls_costs_nothing(home: Home, action: str) -> None:
    """The next call after LM Studio's restart notices the dead link and makes a new one."""
    for _ in range(3):
        assert (await home.get("/admin/models"))[0] == 200
        await home.studio.stop()
        await home.studio.start(Simulator(pace=Pace.instant()))
        status, _ = await home.post(action, modelKey=LLM)
        assert status == (404 if action == "unload" else 200)
    assert home.studio.upgrades["/system"] == 4


async def test_unreachable_is_503_after_the_tries_and_over_when_it_is_back(home: Home) -> None:
    """Three tries with a pause, then a sentence that says what to check; the next call tries again."""
    await home.studio.stop()
    began = time.monotonic()
    status, answer = await home.get("/admin/models")
    assert (status, "lmstudio.base_url" in answer["error"]) == (503, True)
    assert time.monotonic() - began >= 2 * QUICK["connect_pause_ms"] / 1000
    status, _ = await home.post("activate", modelKey=LLM)
    assert status == 200
    await home.studio.start(Simulator(pace=Pace.instant()))
    assert (await home.get("/admin/models"))[0] == 200


async def test_link_lost_in_mid_load_is_503(held_home: Home, held: Held) -> None:
    """The lost load is one error event; the next one works."""
    async with held_home.events() as events:
        asking = asyncio.create_task(held_home.post("load", modelKey=LLM))
        await asyncio.wait_for(held.waiting.acquire(), 5)
        await held_home.studio.stop()
        status, answer = await asyncio.wait_for(asking, 10)
        assert (status, "lost" in answer["error"]) == (503, True)
        await held_home.studio.start(Simulator(pace=Pace.instant()))
        assert (await held_home.post("load", modelKey=LLM))[0] == 200
        names = []
        while "model_load_complete" not in names:
            names.append((await asyncio.wait_for(events.get(), 5))[0])
    assert names.count("error") == 1


async def test_half_a_listing_is_asked_for_again(home: Home) -> None:
    """A restart during a listing causes no error either."""
    assert (await home.get("/admin/models"))[0] == 200

    async def restart() -> None:
        await home.studio.stop()
        await home.studio.start(Simulator(pace=Pace.instant()))

    listings, _ = await asyncio.gather(
        asyncio.gather(*(home.get("/admin/models") for _ in range(10))), restart()
    )
    assert {status for status, _ in listings} == {200}


async def test_a_frozen_lm_studio_is_a_timeout(start_gateway: StartGateway, tmp_path: Path) -> None:
    """Stopped during a load and before a listing: 504 in time; after SIGCONT calls work."""
    timeouts = {**QUICK, "call_timeout_ms": 300, "load_timeout_ms": 700, "connect_attempts": 1}
    async with AsyncExitStack() as stack:
        frozen = await stack.enter_async_context(lmgateway("simulate", "--port", "0", cwd=tmp_path))
        studio = Studio(Simulator(), port=await frozen.port())
        home = Home(await start_gateway(studio.base_url, lmstudio=timeouts), studio)
        async with home.events() as events:
            loading = asyncio.create_task(home.post("load", modelKey=LLM))
            while (await asyncio.wait_for(events.get(), 5))[0] != "model_load_progress":
                pass
            frozen.send(signal.SIGSTOP)
            assert (await asyncio.wait_for(loading, 5))[0] == 504
        with pytest.MonkeyPatch.context() as patched:
            clock, listing = Clock(patched), asyncio.create_task(home.get("/admin/models"))
            for _ in range(12):
                await clock.pass_seconds(1)
            status, _ = await asyncio.wait_for(listing, 1)
        assert status in {503, 504}
        frozen.send(signal.SIGCONT)
        assert (await asyncio.wait_for(home.get("/admin/models"), 10))[0] == 200
        assert (await asyncio.wait_for(home.post("load", modelKey=LLM, instanceId="again"), 20))[0] == 200


@pytest.mark.parametrize("action", ["unload", "load", "activate"])
async def test_killed_in_the_middle_of_a_call(
    start_gateway: StartGateway, tmp_path: Path, action: str
) -> None:
    """LM Studio dies before its answer: an error in time (none if no answer is due); later calls work."""
    async with AsyncExitStack() as stack:
        dying = await stack.enter_async_context(lmgateway("simulate", "--port", "0", cwd=tmp_path))
        studio = Studio(Simulator(pace=Pace.instant()), port=await dying.port())
        home = Home(await start_gateway(studio.base_url, lmstudio=QUICK), studio)
        assert (await home.get("/admin/models"))[0] == 200
        dying.send(signal.SIGSTOP)
        asking = asyncio.create_task(home.post(action, modelKey=LLM))
        await asyncio.sleep(0)  # its request goes into a socket that is not read
        dying.send(signal.SIGKILL)
        status, _ = await asyncio.wait_for(asking, 10)
        assert status == (200 if action == "activate" else 503)
        await dying.ends()
        await studio.start()
        stack.push_async_callback(studio.stop)
        assert (await home.post("load", modelKey=LLM))[0] == 200
        assert (await home.post("unload", modelKey=LLM))[0] == 200


async def test_proxy_of_the_environment_is_ignored(
    start_gateway: StartGateway, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests to LM Studio don't go through the system's proxy."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    fresh = Home(await start_gateway(home.studio.base_url, lmstudio=QUICK), home.studio)
    assert (await fresh.get("/admin/models"))[0] == 200
    assert (await fresh.get("/v1/models"))[0] == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
    ],
    ids=["closes", "no http", "something else", "no json"],
)
async def test_something_else_on_the_port_is_503(start_gateway: StartGateway, sent: bytes) -> None:
    """Whatever it sends, the client gets a sentence about LM Studio."""

    async def something_else(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sent)
        writer.close()

    async with raw_server(something_else) as port:
        gateway = await start_gateway(f"http://127.0.0.1:{port}", lmstudio=QUICK)
        status, answer = await Home(gateway, Studio(Simulator())).get("/admin/models")
    assert (status, "LM Studio" in answer["error"]) == (503, True)


async def test_lost_link_is_one_line_in_the_log(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged once."""
    caplog.set_level(logging.INFO, "lmgateway")
    await home.get("/admin/models")
    await home.studio.stop()
    await home.studio.start(Simulator(pace=Pace.instant()))
    await home.get("/admin/models")
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("lmgateway.boxes")]
    assert lines == [
        "connected to LM Studio's SDK",
        "the connection to LM Studio's SDK is gone; the next call makes a new one",
        "connected to LM Studio's SDK",
    ]


async def test_connecting_blocks_the_event_loop_for_a_moment_only(home: Home) -> None:
    """For 0.1 s of processor time; once in three times, because the garbage collector may run meanwhile."""
    blocked = list[float]()

    async def watch() -> None:
        while True:
            began = time.thread_time()
            await asyncio.sleep(0)
            blocked[-1] = max(blocked[-1], time.thread_time() - began)

    for _ in range(3):
        blocked.append(0.0)
        watching = asyncio.create_task(watch())
        assert (await home.get("/admin/models"))[0] == 200
        watching.cancel()
        await home.studio.stop()
        await home.studio.start(Simulator(pace=Pace.instant()))
    assert 0 < min(blocked) < 0.1
