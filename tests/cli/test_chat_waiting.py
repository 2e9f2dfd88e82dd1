"""What `lmgateway chat` says while its answer hasn't begun."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp import test_utils, web

from lmgateway.cli import waiting
from lmgateway.cli.chat_display import Display
from lmgateway.cli.gateway_client import gateway_client
from lmgateway.cli.waiting import describe
from tests.cli.chatting import OTHER
from tests.cli.conftest import Commands
from tests.support.terminal import on_terminal
from tests.support.waiting import until


async def test_a_terminal_shows_why_it_waits(commands: Commands) -> None:
    """On stderr, until the answer begins; the pipe has the answer alone."""
    commands.gate.opened.clear()
    out = asyncio.subprocess.PIPE
    async with commands.on_terminal("chat", "Hi", "-m", OTHER, "--max-tokens", "3", stdout=out) as terminal:
        await terminal.until(f"\rLoading {OTHER} (")
        commands.gate.opened.set()
        assert await terminal.ends() == 0
        assert terminal.process.stdout is not None
        answer = await terminal.process.stdout.read()
    assert answer.startswith(b"This is a")
    # The line is cleared.
    assert terminal.shown.endswith("\r\x1b[K")


@pytest.mark.parametrize(
    ("ready", "status", "line"),
    [
        ({"status": "ready"}, 200, "Waiting for the answer …"),
        (
            {"status": "unavailable", "lmstudio": {"baseUrl": "http://10.0.0.9:1234"}},
            503,
            "LM Studio doesn't answer at http://10.0.0.9:1234, the gateway retries …",
        ),
    ],
)
async def test_a_pipe_is_told_once_why_it_waits(
    ready: dict[str, object],
    status: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In a line on stderr, after some seconds."""
    monkeypatch.setattr(waiting, "QUIET_SECONDS", 0)

    async def queue(_: web.Request) -> web.Response:
        return web.json_response(IDLE)

    async def health(_: web.Request) -> web.Response:
        return web.json_response(ready, status=status)

    app = web.Application()
    app.add_routes([web.get("/debug/queue", queue), web.get("/health/ready", health)])
    shown: list[str] = []

    def has_said() -> bool:
        shown.append(capsys.readouterr().err)
        return bool(shown[-1])

    async with (
        test_utils.TestServer(app) as server,
        gateway_client(str(server.make_url("/")), "") as gateway,
        waiting.Waiting(gateway, "r", Display()),
    ):
        await until(has_said)
    assert "".join(shown) == f"{line}\n"


async def test_a_key_that_may_not_see_the_line(commands: Commands) -> None:
    """It sees how long it has waited."""
    _, made = await commands.run("keys", "add", "ben", "--json")
    commands.gate.opened.clear()
    access = ("--url", commands.gateway.base_url, "--key", json.loads(made)["key"])
    async with on_terminal("chat", "Hi", "-m", OTHER, *access, cwd=commands.folder) as terminal:
        await terminal.until("Waiting for the answer (1.")
        await terminal.until("Waiting for the answer (2.")
        commands.gate.opened.set()
        assert await terminal.ends() == 0
    assert "scope" not in terminal.shown


WAITS: Mapping[str, Any] = {"requestId": "r", "model": "m", "reason": "slot", "ahead": 2, "etaMs": 9_000}
SWAP = {"from": "old", "to": "m", "state": "draining", "etaMs": 40_000}
IDLE: Mapping[str, Any] = {"waiting": [], "running": [], "instances": [], "swap": None}


@pytest.mark.parametrize(
    ("report", "sentence"),
    [
        ({"waiting": [WAITS]}, "Waiting for a free slot: 2 before it, runs in about 9.0s"),
        ({"waiting": [{**WAITS, "ahead": 0, "etaMs": None}]}, "Waiting for a free slot: it is the next"),
        (
            {"waiting": [WAITS], "swap": SWAP},
            "m is loaded when the requests on old have ended, ready in about 40.0s",
        ),
        (
            {"waiting": [WAITS], "swap": {**SWAP, "state": "loading", "etaMs": None}},
            "Loading m in place of old",
        ),
        (
            {"waiting": [{**WAITS, "reason": "model"}], "swap": {**SWAP, "to": "another"}},
            "Waiting for its model: 2 before it, runs in about 9.0s",
        ),
        ({"waiting": [WAITS], "instances": [{"model": "m", "state": "loading"}]}, "Loading m"),
        ({"running": [{"requestId": "r", "model": "m", "phase": "prompt"}]}, "m reads the prompt"),
        ({"running": [{"requestId": "r", "model": "m", "phase": "generating"}]}, None),
        ({"waiting": [{**WAITS, "requestId": "another"}]}, None),
    ],
)
def test_what_the_line_says_of_a_request(report: Mapping[str, Any], sentence: str | None) -> None:
    assert describe({**IDLE, **report}, "r") == sentence
