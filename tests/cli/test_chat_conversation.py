"""`lmgateway chat` without a prompt: a conversation on a terminal."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import psutil

from tests.cli.chatting import DONE, HELLO, failed, generate, said, serving
from tests.conftest import StartGateway
from tests.support.terminal import Terminal, on_terminal
from tests.support.upstream import ScriptedUpstream
from tests.support.waiting import ENDING_SECONDS, until


async def answered(terminal: Terminal, line: str) -> str:
    """Type a line, and return what is shown up to the next prompt."""
    terminal.type(f"{line}\n")
    shown = await terminal.until("\n")  # the echo
    return shown if ">>> " in shown else shown + await terminal.until(">>> ")


async def test_a_conversation(tmp_path: Path) -> None:
    """Each prompt is sent with those before it and their answers. A failed one is forgotten."""
    streams = (HELLO, failed(message="Not now."), said("Bye.") + DONE, HELLO)
    async with (
        serving(*streams) as (url, bodies),
        on_terminal("chat", "--url", url, cwd=tmp_path, TERM="dumb") as terminal,
    ):
        await terminal.until(">>> ")
        assert "Hello." in await answered(terminal, "Hi")
        assert "lmgateway: Not now." in await answered(terminal, "fails")
        assert "Bye." in await answered(terminal, "More")
        await answered(terminal, "")
        assert "/exit" in await answered(terminal, "/help")
        await answered(terminal, "/clear")
        await answered(terminal, "Anew")
        terminal.type("/exit\n")
        assert await terminal.ends() == 0
    one, two = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}
    assert [body["messages"] for body in bodies] == [
        [one],
        [one, two, {"role": "user", "content": "fails"}],
        [one, two, {"role": "user", "content": "More"}],
        [{"role": "user", "content": "Anew"}],
    ]


async def test_the_ends_of_a_conversation(tmp_path: Path) -> None:
    """Ctrl-D ends it with success, Ctrl-C at a prompt with 130."""
    async with serving() as (url, _):
        for end, status in (("\x04", 0), ("", 130)):
            async with on_terminal("chat", "--url", url, cwd=tmp_path, TERM="dumb") as terminal:
                await terminal.until(">>> ")
                if end:
                    terminal.type(end)
                else:
                    # readline shows its prompt before it waits, and would see a signal in between only later.
                    await until(lambda: psutil.Process(terminal.process.pid).status() == "sleeping")
                    terminal.process.send_signal(signal.SIGINT)
                assert await terminal.ends() == status
            assert terminal.shown.endswith(">>> \r\n")


async def test_ctrl_c_in_a_conversation_ends_the_answer_alone(
    start_gateway: StartGateway, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """What came of it stays in the conversation."""
    upstream.script = generate
    gateway = await start_gateway(upstream.base_url)
    async with on_terminal("chat", "--url", gateway.base_url, cwd=tmp_path, TERM="dumb") as terminal:
        for prompt in ("Hi", "More"):
            await terminal.until(">>> ")
            terminal.type(f"{prompt}\n")
            await terminal.until("Hel")
            terminal.process.send_signal(signal.SIGINT)
            await asyncio.wait_for(upstream.gone.get(), ENDING_SECONDS)
        await terminal.until(">>> ")
        terminal.type("/exit\n")
        assert await terminal.ends() == 0
    assert json.loads(upstream.posts[-1].body)["messages"] == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hel"},
        {"role": "user", "content": "More"},
    ]
