"""`lmgateway boxes`, and `--box` of the commands for models, run beside a gateway with two boxes."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lmgateway.cli import main
from lmgateway.cli.box_tables import overview
from lmgateway.cli.output import aligned
from tests.cli.conftest import Commands
from tests.fleet.boxes import Boxes, boxes
from tests.support.keys import OWNER
from tests.support.process import run_here

CHAT, OTHER = "qwen2.5-7b-instruct", "llama-3.2-3b-instruct"


class Beside:
    """The commands, with the gateway's address and the owner's key."""

    def __init__(self, home: Boxes, folder: Path) -> None:
        self.home, self._folder = home, folder

    async def run(self, *arguments: str, key: str = OWNER) -> tuple[int, str]:
        access = ("--url", self.home.gateway.base_url, "--key", key)
        return await run_here(*arguments, *access, cwd=self._folder)


@pytest.fixture
async def beside(tmp_path: Path) -> AsyncIterator[Beside]:
    async with boxes(tmp_path, "a", "b") as home:
        yield Beside(home, tmp_path)


REPORTS = [
    {"box": "cellar", "state": "up", "latencyMs": 1204, "version": "0.4.19", "models": ["m", "n"]}
    | {"running": 1200, "waiting": 3},
    {"box": "attic", "state": "down", "latencyMs": None, "version": None, "models": []}
    | {"running": 0, "waiting": 0},
]


def test_the_table() -> None:
    """What isn't known is left empty."""
    rows, numbers = overview(REPORTS)
    assert [*aligned(rows, numbers=numbers)] == [
        "BOX     STATE   LATENCY  VERSION  MODELS   RUNS  WAITS",
        "cellar  up     1,204 ms  0.4.19        2  1,200      3",
        "attic   down                           0      0      0",
    ]


async def test_boxes_are_listed(beside: Beside) -> None:
    """Also without an action; in JSON it is the gateway's response."""
    status, output = await beside.run("boxes")
    assert status == 0
    rows = [re.sub(r"[\d,]+ ms", "4 ms", line).split() for line in output.splitlines()]
    assert rows[1:] == [[box, "up", "4", "ms", "0.4.0", "6", "0", "0"] for box in ("a", "b")]
    assert (await beside.run("boxes", "list"))[0] == 0
    status, output = await beside.run("boxes", "--json")
    assert (status, [one["box"] for one in json.loads(output)["boxes"]]) == (0, ["a", "b"])


async def test_the_only_box_is_listed(commands: Commands) -> None:
    status, output = await commands.run("boxes")
    assert (status, output.splitlines()[1].split()[:2]) == (0, ["lmstudio", "up"])


async def test_a_box_is_drained_and_resumed(beside: Beside) -> None:
    drained = "a drains: it gets only requests that can go nowhere else."
    assert await beside.run("boxes", "drain", "a") == (0, f"{drained}\n")
    assert await beside.home.state("a") == "draining"
    status, output = await beside.run("boxes", "resume", "a", "--json")
    assert (status, json.loads(output)["state"]) == (0, "up")


async def test_what_cant_be_done_says_why(beside: Beside) -> None:
    """With the exit statuses of other commands."""
    status, output = await beside.run("boxes", "drain", "attic")
    assert (status, output) == (66, "lmgateway: There is no box attic. The boxes: a, b.\n")
    assert (await beside.run("boxes", "drain", "attic/../b"))[0] == 66
    assert (await beside.run("boxes", "drain", ".."))[0] == 64
    status, output = await beside.run("boxes", "wake", "a")
    assert (status, "Set boxes.a.wake_mac in config.toml." in output) == (1, True)
    _, secret = await beside.run("keys", "add", "ben", "--scope", "models,observe", "--json")
    status, output = await beside.run("boxes", key=json.loads(secret)["key"])
    assert (status, "admin" in output) == (77, True)


async def test_load_and_unload_on_a_box(beside: Beside) -> None:
    """The table of the models has a column for the boxes."""
    status, output = await beside.run("load", CHAT, "--box", "b")
    # The lines before it are those of the progress.
    assert (status, output.splitlines()[-1]) == (0, f"{CHAT} is loaded on b and is now the active model.")
    assert (beside.home.loaded("a"), beside.home.loaded("b")) == ([], [CHAT])
    status, output = await beside.run("models")
    lines = output.splitlines()
    assert (status, lines[0].split()) == (0, ["MODEL", "TYPE", "SIZE", "CONTEXT", "BOX"])
    assert lines[1].split() == ["active", CHAT, "llm", "4.7", "GB", "4096", "b"]
    [other] = [line for line in lines if OTHER in line]
    assert other.endswith("a, b")
    status, output = await beside.run("unload", CHAT, "--box", "a")
    assert (status, f"Nothing named {CHAT} is loaded on a;" in output) == (66, True)
    assert (await beside.run("unload", CHAT, "--box", "attic"))[0] == 66
    status, output = await beside.run("unload", CHAT, "--box", "b")
    assert (status, output.split(". ")[0]) == (0, f"Unloaded {CHAT} on b")
    assert (await beside.run("cancel", CHAT, "--box", "b"))[0] == 66


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("boxes drian a", "unknown command 'boxes drian'. Did you mean 'boxes drain'?"),
        ("boxes ls", "unknown command 'boxes ls'. Did you mean 'boxes list'?"),
        ("boxes --jsn", "unknown option '--jsn'. Did you mean '--json'? `lmgateway boxes list --help`"),
        ("boxes --json drain a", "unexpected argument 'drain'. `lmgateway boxes list --help` lists all."),
        ("load qwen --bx b", "unknown option '--bx'. Did you mean '--box'?"),
    ],
)
def test_mistakes(arguments: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An option before the action is none of the action's, so nothing is done."""
    assert main(arguments.split()) == 64
    assert sentence in capsys.readouterr().err


def test_its_help_names_the_actions(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["boxes", "--help"], ["help", "boxes"]):
        with pytest.raises(SystemExit) as ended:
            main(words)
        shown = capsys.readouterr().out
        assert ended.value.code == 0
        assert [name for name in ("list", "drain", "resume", "wake") if f"    {name} " not in shown] == []
