"""`lmgateway unload` of a model that is answering."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from lmgateway.simulator import Simulator
from tests.cli.conftest import KEY, Commands
from tests.conftest import StartGateway
from tests.support.gate import Gate
from tests.support.studio import running_studio
from tests.support.waiting import PATIENCE_SECONDS

CHAT = "qwen2.5-7b-instruct"
UNLOADED = f"Unloaded {CHAT}."
RUNNING = f"1 request still runs on {CHAT}"
QUESTION = "End what runs with an error, and unload it? [y/N]"


@pytest.fixture
async def answering(start_gateway: StartGateway, tmp_path: Path) -> AsyncIterator[Commands]:
    """A model in memory, which stands still at its next token until the gate is opened."""
    gate = Gate(holds="token")
    simulator = Simulator(pace=gate)
    simulator.load(CHAT)
    async with running_studio(simulator) as studio:
        gateway = await start_gateway(studio.base_url, auth={"api_key": KEY})
        yield Commands(gateway, simulator, studio.base_url, gate, tmp_path)


@asynccontextmanager
async def stream(commands: Commands) -> AsyncIterator[asyncio.Task[bytes | None]]:
    """Have a request run, of which the task returns the answer; None if that breaks off."""
    url = commands.gateway.url("/v1/chat/completions")
    body = {"model": CHAT, "messages": [{"role": "user", "content": "Hello!"}], "stream": True}

    async def read() -> bytes | None:
        try:
            async with commands.gateway.client.post(url, json=body, headers={"X-API-Key": KEY}) as response:
                return await response.read()
        except aiohttp.ClientError:
            return None

    reading = asyncio.create_task(read())
    await asyncio.wait_for(commands.gate.reached.wait(), PATIENCE_SECONDS)
    yield reading
    commands.gate.opened.set()
    await asyncio.wait_for(reading, PATIENCE_SECONDS)


def is_whole(answer: bytes | None) -> bool:
    return answer is not None and answer.endswith(b"[DONE]\n\n")


@pytest.mark.parametrize("how", [["--force"], ["--wait", "0.01"]], ids=["force", "wait"])
@pytest.mark.parametrize("word", ["y", "yes"])
async def test_it_asks_before_it_cuts(answering: Commands, how: list[str], word: str) -> None:
    """On a terminal: somebody may be reading that answer."""
    async with stream(answering) as streaming, answering.on_terminal("unload", CHAT, *how) as terminal:
        shown = await terminal.until(QUESTION)
        assert RUNNING in shown
        assert not streaming.done()
        terminal.type(f"{word}\n")
        assert await terminal.ends() == 0
        assert UNLOADED in terminal.shown
        answering.gate.opened.set()
        assert not is_whole(await asyncio.wait_for(streaming, PATIENCE_SECONDS))


@pytest.mark.parametrize("word", ["", "n", "what?"])
async def test_no_other_word_cuts(answering: Commands, word: str) -> None:
    """The answer goes on to its end."""
    async with stream(answering) as streaming, answering.on_terminal("unload", CHAT, "--force") as terminal:
        await terminal.until(QUESTION)
        terminal.type(f"{word}\n")
        assert await terminal.ends() == 1
        assert "It stays in memory." in terminal.shown
        answering.gate.opened.set()
        assert is_whole(await asyncio.wait_for(streaming, PATIENCE_SECONDS))


async def test_ctrl_c_is_an_answer(answering: Commands) -> None:
    """It ends the command at once, and nothing else."""
    async with stream(answering) as streaming, answering.on_terminal("unload", CHAT, "--force") as terminal:
        await terminal.until(QUESTION)
        terminal.process.send_signal(signal.SIGINT)
        assert await terminal.ends() == 130
        answering.gate.opened.set()
        assert is_whole(await asyncio.wait_for(streaming, PATIENCE_SECONDS))


@pytest.mark.parametrize("how", [["--force"], ["--wait", "0.01"]], ids=["force", "wait"])
async def test_yes_asks_nothing(answering: Commands, how: list[str]) -> None:
    """Whoever types it knows."""
    async with stream(answering) as streaming:
        async with answering.on_terminal("unload", CHAT, *how, "--yes") as terminal:
            assert await terminal.ends() == 0
        assert QUESTION not in terminal.shown
        answering.gate.opened.set()
        assert not is_whole(await asyncio.wait_for(streaming, PATIENCE_SECONDS))


async def test_an_idle_model_needs_no_question(answering: Commands) -> None:
    """There is nothing to cut."""
    async with answering.on_terminal("unload", CHAT, "--force") as terminal:
        assert await terminal.ends() == 0
    assert terminal.shown.splitlines() == [UNLOADED]


async def test_the_wait_is_announced_on_a_terminal(answering: Commands) -> None:
    """Else the command would seem to hang."""
    async with stream(answering) as streaming, answering.on_terminal("unload", CHAT) as terminal:
        await terminal.until(f"Waiting for the requests that run on {CHAT} to end, at most 30 s.")
        answering.gate.opened.set()
        assert await terminal.ends() == 0
        assert is_whole(await asyncio.wait_for(streaming, PATIENCE_SECONDS))


async def test_a_script_is_not_asked(answering: Commands) -> None:
    """Without --force it fails when the wait is over; with it, it cuts."""
    async with stream(answering) as streaming:
        status, output = await answering.run("unload", CHAT, "--wait", "0.01")
        assert (status, RUNNING in output, QUESTION in output) == (1, True, False)
        assert not streaming.done()
        status, output = await answering.run("unload", CHAT, "--force")
        assert (status, output) == (0, f"{UNLOADED}\n")
        answering.gate.opened.set()
        assert not is_whole(await asyncio.wait_for(streaming, PATIENCE_SECONDS))


async def test_a_script_waits_and_then_cuts(answering: Commands) -> None:
    """`--wait 60 --yes` gives answers a minute."""
    async with stream(answering) as streaming:
        status, _ = await answering.run("unload", CHAT, "--wait", "0.01", "--yes")
        assert status == 0
        answering.gate.opened.set()
        assert not is_whole(await asyncio.wait_for(streaming, PATIENCE_SECONDS))
