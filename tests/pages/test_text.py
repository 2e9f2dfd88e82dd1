"""What the pages say outside their blocks agrees with the code."""

from __future__ import annotations

import importlib.util
import re
import shlex
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from lmgateway.boxes.log import events as log_events
from lmgateway.cli import INTERRUPTED, UNREAD, failures, main
from lmgateway.errors import GatewayError
from lmgateway.observe.events import Event
from lmgateway.settings import SETTINGS
from lmgateway.web import event_kinds

from .documents import DOCS, PAGES, README, ROOT, anchors, inline_code, links, read, table_rows

INLINE = inline_code(*PAGES)
COMMANDS = sorted({code for code in INLINE if re.match(r"lmgateway [a-z]", code)})
TOOL = ("python -m tests.", "LMGATEWAY_")
# The modules that define events.
EVENT_MODULES = {Event.__module__, log_events.__name__, event_kinds.__name__}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_in_the_text_exists(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, name, *rest = shlex.split(command)
    # With the action and the names, as in `lmgateway keys add alice --note TEXT`.
    words = takewhile(lambda word: not word.startswith("-"), rest)
    with pytest.raises(SystemExit) as ended:
        main([name, *words, "--help"])
    assert ended.value.code == 0
    described = capsys.readouterr().out
    assert [word for word in rest if word.startswith("--") and word not in described] == []


@pytest.mark.parametrize("tool", sorted({code for code in INLINE if code.startswith(TOOL)}))
def test_a_tool_in_the_text_exists(tool: str) -> None:
    """A module with its options, or a folder of tests with its variable."""
    words = shlex.split(tool)
    if words[0] == "python":
        spec = importlib.util.find_spec(words[2])
        assert spec is not None
        assert spec.origin is not None
        file = Path(spec.origin)
        files = list(file.parent.glob("*.py")) if file.name == "__init__.py" else [file]
        needed = [word for word in words[3:] if word.startswith("--")]
    else:
        path = ROOT / words[-1]
        files = [path] if path.is_file() else list(path.rglob("*.py"))
        needed = [words[0].partition("=")[0]]
    text = "".join(file.read_text() for file in files)
    assert text
    assert [word for word in needed if f'"{word}"' not in text] == []


def test_the_front_page_is_short_and_links_to_every_page() -> None:
    assert len(read(README).splitlines()) <= 200
    assert {*PAGES} - {*links(README), README} == set()


def test_a_newcomer_s_questions_are_answered_near_the_top() -> None:
    """Each of the twelve has a line with a link, which `test_links_resolve` follows to its heading."""
    before, _, after = read(README).partition("| I want to … | |\n|---|---|\n")
    rows = list(takewhile(lambda line: line.startswith("| "), after.splitlines()))
    assert len(before.splitlines()) <= 24
    assert len(rows) == 12
    assert [row for row in rows if "#" not in row.partition("](")[2]] == []


@pytest.mark.parametrize("name", PAGES)
def test_links_resolve(name: str) -> None:
    page = ROOT / name
    for target in links(name):
        path, _, anchor = target.partition("#")
        other = page.parent / path if path else page
        assert other.exists(), target
        assert not anchor or anchor in anchors(other), target


def test_the_table_of_settings_is_right() -> None:
    """Each with its variable and its default."""
    rows = re.findall(
        r"^\| `(\w+\.\w+)` \| `(\w+)` \| (?:`(.*?)`)? ?\|", read("docs/configuration.md"), re.MULTILINE
    )
    assert len(rows) == 17
    for path, variable, default in rows:
        setting = SETTINGS[path]
        assert variable == setting.env[0]
        value = f"{setting.default:g}" if isinstance(setting.default, float) else str(setting.default or "")
        assert default == ("true" if setting.default is True else value), path


def codes_in(cells: list[str]) -> list[str]:
    return [code for cell in cells for code in re.findall(r"`(\w+)`", cell)]


def subclasses(kind: type[Any]) -> set[type[Any]]:
    """Return the class's own subclasses in the package, and theirs."""
    direct = {one for one in kind.__subclasses__() if one.__module__.startswith("lmgateway.")}
    return direct.union(*map(subclasses, direct))


def test_the_table_of_errors_is_complete() -> None:
    """Each code with its status."""
    listed = {
        (code, status)
        for statuses, codes, _ in table_rows("docs/http.md", "Errors")[1:]
        for code in codes_in([codes])
        for status in statuses.split(", ")
    }
    kinds = {GatewayError, *subclasses(GatewayError)}
    assert {(kind.code, str(kind.status)) for kind in kinds} - listed == set()
    assert {code for code, _ in listed} == {kind.code for kind in kinds}


def test_the_table_of_events_is_complete() -> None:
    listed = codes_in([row[0] for row in table_rows("docs/http.md", "Events")[1:]])
    kinds = {kind for kind in subclasses(Event) if hasattr(kind, "name")}
    assert {kind.__module__ for kind in kinds} == EVENT_MODULES
    # A set: a test that imports the package anew leaves a second class of each name.
    assert sorted(listed) == sorted({kind.name for kind in kinds})


def test_the_table_of_exit_statuses_is_complete() -> None:
    rows = table_rows("docs/commands.md", "Exit statuses")[1:]
    listed = {int(status) for row in rows for status in row[0].split(", ")}
    named = {value for name, value in vars(failures).items() if name.startswith("EX_")}
    assert named | {INTERRUPTED, UNREAD} <= listed


def test_docs_are_found() -> None:
    """The patterns above match what they are for."""
    assert len(DOCS) >= 8
    assert len(COMMANDS) >= 8
