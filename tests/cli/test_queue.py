"""`lmgateway queue`: who runs and who waits."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import test_utils, web

from lmgateway.cli import main
from tests.cli.conftest import Commands
from tests.support.process import run_here
from tests.support.terminal import on_terminal

MODEL = "qwen2.5-7b-instruct"
REPORT: dict[str, Any] = {
    "instances": [
        {"box": "lmstudio", "instance": MODEL, "model": MODEL, "state": "resident", "slots": 4, "ours": 1}
        | {"outside": 1, "idleMs": 0, "pinned": False, "origin": "outside"}
    ],
    "waiting": [
        {"requestId": "req_3", "key": "bob", "class": "background", "model": MODEL, "reason": "slot"}
        | {"ahead": 1, "waitedMs": 1_000, "etaMs": None},
        {"requestId": "req_2", "key": "app", "user": "ann", "class": "interactive", "model": MODEL}
        | {"reason": "key_limit", "ahead": 0, "waitedMs": 61_000, "etaMs": 4_000},
    ],
    "running": [
        {"requestId": "req_1", "key": "alice", "model": MODEL, "box": "lmstudio", "phase": "generating"}
        | {"gpuMs": 12_345}
    ],
    "keys": [
        {"key": "alice", "share": 2.0, "running": 1, "waiting": 0, "gpuMs": 512_000, "behindMs": 0},
        {"key": "app", "user": "ann", "share": 1.0, "running": 0, "waiting": 1, "gpuMs": 0}
        | {"behindMs": 256_000},
    ],
    "swap": None,
}
TABLES = """\
1 running, 2 waiting

RUNS   MODEL                PHASE       GPU TIME  REQUEST
alice  qwen2.5-7b-instruct  generating     12.3s  req_1

WAITS    CLASS        MODEL                FOR              AHEAD   WAITED   ETA  REQUEST
app ann  interactive  qwen2.5-7b-instruct  its key's limit      0  0:01:01  4.0s  req_2
bob      background   qwen2.5-7b-instruct  a free slot          1     1.0s     ?  req_3

KEY      SHARE  RUNS  WAITS  GPU TIME   BEHIND
alice        2     1      0   0:08:32     0.0s
app ann      1     0      1      0.0s  0:04:16

INSTANCE             MODEL                BOX       STATE     SLOTS  OURS  OUTSIDE  IDLE
qwen2.5-7b-instruct  qwen2.5-7b-instruct  lmstudio  resident      4     1        1  0.0s
"""


@asynccontextmanager
async def serving(*reports: dict[str, Any] | int) -> AsyncIterator[str]:
    """A gateway that sends these reports, or fails with these statuses, one for each request."""
    answers = iter(reports)

    async def report(_: web.Request) -> web.Response:
        answer = next(answers)
        if isinstance(answer, int):
            return web.json_response({"error": "Not now."}, status=answer)
        return web.json_response(answer)

    app = web.Application()
    app.router.add_get("/debug/queue", report)
    async with test_utils.TestServer(app) as server:
        yield str(server.make_url("/"))


async def test_tables(tmp_path: Path) -> None:
    """Not on a terminal it prints once. Who is next is the first of those that wait."""
    async with serving(REPORT) as url:
        assert await run_here("queue", "--url", url, cwd=tmp_path) == (0, TABLES)


async def test_ps(tmp_path: Path) -> None:
    """Who runs and waits, and on what, once; without each key's part."""
    async with (
        serving(REPORT) as url,
        on_terminal("ps", "--url", url, cwd=tmp_path) as terminal,
    ):
        assert await terminal.ends() == 0
    before, _, behind = TABLES.partition("KEY  ")
    assert terminal.shown.replace("\r\n", "\n") == before + behind[behind.index("INSTANCE") :]


async def test_ps_json_is_the_report(tmp_path: Path) -> None:
    async with serving(REPORT) as url:
        status, output = await run_here("ps", "--url", url, "--json", cwd=tmp_path)
    assert (status, json.loads(output)) == (0, REPORT)


async def test_ps_is_refreshed_with_watch(tmp_path: Path) -> None:
    """On a terminal; a pipe gets it once."""
    idle = {**REPORT, "running": [], "waiting": []}
    command = ("ps", "--watch", "--interval", "0.2", "--url")
    async with (
        serving(REPORT, idle, 401) as url,
        on_terminal(*command, url, cwd=tmp_path, COLUMNS="120", LINES="40") as terminal,
    ):
        assert await terminal.ends() == 77
    assert ["alice" in screen for screen in terminal.shown.split("\x1b[H")[1:]] == [True, False]
    async with serving(REPORT) as url:
        status, output = await run_here(*command, url, cwd=tmp_path)
    assert (status, output.count("1 running, 2 waiting"), "\x1b" in output) == (0, 1, False)


async def test_a_swap_is_a_sentence(tmp_path: Path) -> None:
    """Below the tables."""
    swap = {"from": MODEL, "to": "qwen/qwen3-8b", "state": "draining", "sinceMs": 12_000, "etaMs": 40_000}
    async with serving({**REPORT, "swap": swap}) as url:
        _, output = await run_here("queue", "--url", url, cwd=tmp_path)
    sentence = f"Replacing {MODEL} with qwen/qwen3-8b: draining for 12.0s, done in about 40.0s"
    assert output == f"{TABLES}\n{sentence}\n"


async def test_json_is_the_report(tmp_path: Path) -> None:
    """With every field."""
    async with serving(REPORT) as url:
        status, output = await run_here("queue", "--url", url, "--json", cwd=tmp_path)
    assert (status, json.loads(output)) == (0, REPORT)


async def test_an_idle_gateway(commands: Commands) -> None:
    """The real one says that nothing runs."""
    assert await commands.run("queue") == (0, "0 running, 0 waiting\n")


@pytest.mark.parametrize("interval", ["0", "-1", "soon", "nan", "1e9"])
async def test_an_interval_that_makes_no_sense(interval: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says what does."""
    with pytest.raises(SystemExit):
        main(["queue", f"--interval={interval}"])
    assert "write seconds from 0.2 to 3600" in capsys.readouterr().err


async def test_a_terminal_is_refreshed(tmp_path: Path) -> None:
    """In place, also after an outage, which is said instead of showing what isn't so any more."""
    idle = {**REPORT, "running": [], "waiting": []}
    async with (
        serving(REPORT, 503, idle, 401) as url,
        on_terminal(
            "queue", "--url", url, "--interval", "0.2", cwd=tmp_path, COLUMNS="120", LINES="40"
        ) as terminal,
    ):
        assert await terminal.ends() == 77
    first, outage, last = terminal.shown.split("\x1b[H")[1:]
    assert re.sub(r"\x1b\[[KJ]", "", first).replace("\r\n", "\n") == TABLES
    assert "Not now. Retrying." in outage
    assert "alice" not in outage
    assert "0 running, 0 waiting" in last
    # Each line clears the rest of its line, and the last one what is below.
    assert first.count("\x1b[K") == TABLES.count("\n")
    assert first.endswith("\x1b[J")


async def test_a_terminal_without_refreshing(tmp_path: Path) -> None:
    """--once prints the tables once, without control characters."""
    async with (
        serving(REPORT) as url,
        on_terminal("queue", "--url", url, "--once", cwd=tmp_path) as terminal,
    ):
        assert await terminal.ends() == 0
    assert terminal.shown.replace("\r\n", "\n") == TABLES


async def test_a_long_line_fits_on_the_terminal(tmp_path: Path) -> None:
    """Its end is left out, and the last line says how much."""
    waiting = [{**REPORT["waiting"][0], "requestId": f"req_{n}", "ahead": n} for n in range(300)]
    async with (
        serving({**REPORT, "waiting": waiting}, 401) as url,
        on_terminal(
            "queue", "--url", url, "--interval", "0.2", cwd=tmp_path, LINES="24", COLUMNS="60"
        ) as terminal,
    ):
        assert await terminal.ends() == 77
    lines = terminal.shown.split("\x1b[H")[1].partition("\x1b[J")[0].split("\r\n")[:-1]
    # Of 313 lines 22 are shown. A terminal's last line stays free, so that it doesn't scroll.
    assert len(lines) == 23
    assert lines[-1] == "291 more lines don't fit on the terminal.\x1b[K"
    assert all(len(line.removesuffix("\x1b[K")) <= 60 for line in lines)


async def test_names_dont_act_on_the_terminal(tmp_path: Path) -> None:
    """A user's name comes from a header, and the ids of requests from their clients."""
    waiting = [{**REPORT["waiting"][1], "user": "\x1b[2Jann", "requestId": "req\r2"}]
    async with (
        serving({**REPORT, "waiting": waiting}, 401) as url,
        on_terminal("queue", "--url", url, "--interval", "0.2", cwd=tmp_path) as terminal,
    ):
        assert await terminal.ends() == 77
    assert "\x1b[2J" not in terminal.shown
    assert "req\r2" not in terminal.shown
