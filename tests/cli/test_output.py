"""What the commands print acts on no terminal, wherever it came from."""

from __future__ import annotations

import ast
import asyncio
import json
import re
from pathlib import Path

import pytest

from lmgateway.boxes.log.events import DebugLog
from lmgateway.cli import main, output
from lmgateway.web.state import EVENTS
from tests.cli.conftest import Commands
from tests.support.process import lmgateway, run
from tests.support.terminal import on_terminal
from tests.support.upstream import Received, ScriptedUpstream, answer

CHAT = "qwen2.5-7b-instruct"
EVIL = "mine\x1b]0;x\x07\x1b[2J\x9b31m\u202egpj\u2066\r\nforged"
SHOWN = r"mine\x1b]0;x\x07\x1b[2J\x9b31m\u202egpj\u2066\r\nforged"
ACTING = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def test_only_one_module_prints() -> None:
    package = Path(output.__file__).parent
    printing = [
        file.name
        for file in package.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Name) and node.id == "print"
    ]
    assert set(printing) == {"output.py"}


async def test_names_of_instances(commands: Commands) -> None:
    """In the table, in messages, and in errors; the columns stay aligned."""
    commands.simulator.load(CHAT, EVIL)
    for arguments in (("models",), ("load", CHAT, "--id", EVIL), ("unload", CHAT, "--id", EVIL)):
        _, shown = await commands.run(*arguments)
        assert SHOWN in shown
        assert not ACTING.search(shown)
        assert "\nforged" not in shown


async def test_json_stays_json(commands: Commands) -> None:
    """The value is the same, and its spelling acts on no terminal."""
    commands.simulator.load(CHAT, EVIL)
    status, shown = await commands.run("models", "--json")
    assert status == 0
    assert json.loads(shown)["loaded"][0]["identifier"] == EVIL
    assert not ACTING.search(shown)


def test_json_with_half_a_character(capsys: pytest.CaptureFixture[str]) -> None:
    """It can't be encoded, but escaped."""
    output.say_json({"name": "a\ud83d", "tag": "\U000e0041", "wide": "模"})
    assert json.loads(capsys.readouterr().out) == {"name": "a\ud83d", "tag": "\U000e0041", "wide": "模"}


async def test_lines_of_lm_studios_log(commands: Commands) -> None:
    """An event may be as long as a line of the log."""
    long = "\x1b[2J" + "é" * 60_000
    async with (
        lmgateway("events", *commands.access, cwd=commands.folder) as plain,
        lmgateway("events", "--json", *commands.access, cwd=commands.folder) as piped,
    ):
        for process in (plain, piped):
            await process.line("connected")
        commands.gateway.app[EVENTS].publish(DebugLog(level="INFO", message=EVIL, raw=EVIL))
        for process in (plain, piped):
            assert not ACTING.search(await process.line("forged"))
        commands.gateway.app[EVENTS].publish(DebugLog(level="INFO", message=long, raw=long))
        assert piped.process.stdout is not None
        read = b""
        while long.encode() not in read.replace(b"\\u001b", b"\x1b"):
            read += await asyncio.wait_for(piped.process.stdout.read(65536), 20)


@pytest.mark.parametrize("command", [("models",), ("unload", CHAT), ("events",), ("models", "--json")])
async def test_any_server_at_the_gateways_address(
    upstream: ScriptedUpstream, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """Its errors are shown as they are meant to be, on one line."""
    error = {"error": EVIL, "details": EVIL}
    upstream.script = answer(json.dumps(error).encode(), status="500 No")
    status, shown = await run(*command, "--url", upstream.base_url, cwd=tmp_path)
    assert status == 1
    assert shown.count(SHOWN) == 2
    assert not ACTING.search(shown)


async def studio(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that says that it is LM Studio."""
    models = [{"id": name, "type": "llm"} for name in (EVIL, "x" * 900_000, "good")]
    bodies = {"/lmstudio-greeting": {"lmstudio": True}, "/api/v0/models": {"data": models}}
    await answer(json.dumps(bodies.get(request.target, {})).encode())(request, reader, writer)


@pytest.mark.parametrize("arguments", [(), ("--json",)])
async def test_doctor(upstream: ScriptedUpstream, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    upstream.script = studio
    settings = (
        "--set",
        f"lmstudio.base_url={upstream.base_url}",
        "--set",
        'models."mine0x2J31mgpjforged".load.contextLength=8192',
    )
    _, shown = await run("doctor", *arguments, *settings, cwd=tmp_path, HOME=str(tmp_path))
    assert "Similar names" in shown
    assert not ACTING.search(shown)
    assert len(shown) < 20_000


async def test_init(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    upstream.script = studio
    settings = ("--set", f"lmstudio.base_url={upstream.base_url}")
    status, shown = await run("init", *settings, cwd=tmp_path, HOME=str(tmp_path))
    assert status == 0
    assert not ACTING.search(shown)
    assert "good" in shown
    assert len(shown) < 20_000


async def test_colours_are_the_commands_own(commands: Commands) -> None:
    """On a terminal too, only the commands themselves choose colours."""
    async with on_terminal("events", *commands.access, cwd=commands.folder, stdout=None) as terminal:
        await terminal.until("connected")
        commands.gateway.app[EVENTS].publish(DebugLog(level="INFO", message=EVIL, raw="the end"))
        await terminal.until("the end")
        assert set(re.findall(r"\x1b\S*?[A-Za-z]", terminal.shown)) <= {"\x1b[90m", "\x1b[0m"}
        assert "\x07" not in terminal.shown


def test_settings_of_a_strange_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "a\x1b[2J\u202e"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for text in (
        '[models."a\\u001b[2J"]\nload = {}\n',
        '[server]\nhost = "\\u001b[2J"\n',
        '["\\u001b[2J"]\n',
    ):
        (folder / "config.toml").write_text(text)
        (folder / "config.toml").chmod(0o666)
        main(["check"])
        shown = capsys.readouterr()
        assert not ACTING.search(shown.out + shown.err)
