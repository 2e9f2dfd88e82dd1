"""Libraries and programs that wait for 25 s, with the keep-alives that are the default."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lmgateway.errors import BadRequest
from lmgateway.web.state import ACTIVITY
from tests.agents.programs import MANIFEST, Program, claude_code, codex_cli
from tests.conftest import StartGateway
from tests.support.held_streams import FOR_CODEX, KEEPALIVE_MS, PING
from tests.support.node import INSTALL_SECONDS, installed
from tests.support.waiting import STARTING_SECONDS
from tests.waiting.conftest import Place, Waiting
from tests.waiting.libraries import KEY, LIBRARIES, MODEL, QUESTION

pytestmark = [pytest.mark.long, pytest.mark.timeout(INSTALL_SECONDS)]

HERE = Path(__file__).parent
WAIT_SECONDS = 25
ANSWER = "This is a simulated answer"
# Those that ask.mjs uses.
NPM_LIBRARIES = 10
CLAUDE = ("-p", QUESTION, "--tools", "")
CODEX = ("exec", "--skip-git-repo-check", QUESTION)


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[str], Path]:
    def make(name: str) -> Path:
        made = tmp_path / name
        made.mkdir()
        return made

    return make


@pytest.fixture
def ask_with_node(folder: Callable[[str], Path]) -> Program:
    """All libraries of npm; it prints what came of each."""
    home = folder("npm")
    (home / "node_modules").symlink_to(installed(HERE / "package.json"))
    shutil.copy(HERE / "ask.mjs", home)
    return Program(Path(shutil.which("node") or "node"), home, {})


async def outcomes(program: Program, base_url: str) -> dict[str, dict[str, str]]:
    finished = await program.run("ask.mjs", base_url, KEY, MODEL)
    found: dict[str, dict[str, str]] = json.loads(finished.output.splitlines()[-1])
    assert len(found) == NPM_LIBRARIES
    return found


async def in_place(waiting: Waiting, number: int) -> None:
    """Return when so many requests wait in the place."""
    async with asyncio.timeout(STARTING_SECONDS):
        while waiting.count() < number:
            await asyncio.sleep(0.01)


async def keep_alives(waiting: Waiting, keep_alive: bytes) -> None:
    received = waiting.received(keep_alive)
    async with asyncio.timeout(STARTING_SECONDS):
        while waiting.received(keep_alive) < received + 2:
            await asyncio.sleep(0.01)


async def test_all_wait(
    start_gateway: StartGateway, place: Place, ask_with_node: Program, folder: Callable[[str], Path]
) -> None:
    """None gives up or asks again, and each gets its answer."""
    commands = installed(MANIFEST) / ".bin"
    async with place(start_gateway) as waiting:
        url, activity = waiting.relay.base_url, waiting.gateway.app[ACTIVITY]
        claude = claude_code(commands, folder("claude"), url, KEY, MODEL)
        codex = codex_cli(commands, folder("codex"), url, KEY, MODEL)
        asked = len(LIBRARIES) + NPM_LIBRARIES + 2
        async with asyncio.TaskGroup() as asking:
            answers = {name: asking.create_task(each.ask(url, KEY)) for name, each in LIBRARIES.items()}
            npm = asking.create_task(outcomes(ask_with_node, url))
            programs = [asking.create_task(claude.run(*CLAUDE)), asking.create_task(codex.run(*CODEX))]
            await in_place(waiting, asked)
            await asyncio.sleep(WAIT_SECONDS)
            assert (waiting.count(), len(waiting.requests), activity.total_requests) == (asked, asked, 0)
            waiting.go_on()
    assert {name for name, task in answers.items() if ANSWER not in task.result()} == set()
    assert {name: each for name, each in npm.result().items() if ANSWER not in each.get("answer", "")} == {}
    for task in programs:
        assert (task.result().status, ANSWER in task.result().output) == (0, True), task.result().output
    assert waiting.received(FOR_CODEX) >= 1


async def test_libraries_of_npm_raise(
    start_gateway: StartGateway, place: Place, ask_with_node: Program
) -> None:
    """An exception with the reason, and never an empty answer."""
    async with place(start_gateway, keepalive_ms=KEEPALIVE_MS) as waiting:
        asking = asyncio.create_task(outcomes(ask_with_node, waiting.relay.base_url))
        await in_place(waiting, NPM_LIBRARIES)
        await keep_alives(waiting, PING)
        waiting.fail()
        found = await asking
    assert {
        name: each for name, each in found.items() if "LM Studio is gone" not in each.get("error", "")
    } == {}


async def test_programs_report_it(
    start_gateway: StartGateway, place: Place, folder: Callable[[str], Path]
) -> None:
    """However often they ask again, they end with an error, and with no empty answer."""
    commands = installed(MANIFEST) / ".bin"
    async with place(start_gateway, keepalive_ms=KEEPALIVE_MS) as waiting:
        url = waiting.relay.base_url
        claude = claude_code(commands, folder("claude"), url, KEY, MODEL).run(*CLAUDE)
        codex = codex_cli(commands, folder("codex"), url, KEY, MODEL).run(*CODEX)
        asking = asyncio.gather(claude, codex)
        await keep_alives(waiting, PING)
        await keep_alives(waiting, FOR_CODEX)
        while not asking.done():
            await asyncio.sleep(10 * KEEPALIVE_MS / 1000)
            # Claude Code repeats a failed stream as a plain request, and that ten times after a 5xx.
            waiting.fail(BadRequest("LM Studio is gone."))
        by_claude, by_codex = await asking
    assert (by_claude.status, "LM Studio is gone" in by_claude.output) == (1, True), by_claude.output
    # It shows no reason of a stream whose connection breaks.
    assert (by_codex.status, "ERROR" in by_codex.output) == (1, True), by_codex.output
