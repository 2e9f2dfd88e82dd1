"""PowerShell on the pages and in windows/: it parses as 5.1's, and sets what a Unix shell does."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from lmgateway.cli.parser import make_parser

from .documents import BLOCKS, ROOT, Block, find_blocks
from .powershell import commands, mistakes

OF_WINDOWS = [block for block in BLOCKS if block.language == "powershell"]
SCRIPTS = sorted((ROOT / "windows").glob("*.ps1"))
_EXPORT = re.compile(r"^export (\w+)=(.*)$", re.MULTILINE)
_SET = re.compile(r"^\$env:(\w+) = '(.*)'$", re.MULTILINE)


@pytest.mark.parametrize("block", OF_WINDOWS, ids=lambda block: f"{block.page}: {block.section}")
def test_a_block_is_powershell_5_1(block: Block) -> None:
    assert mistakes(block.text) == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_is_powershell_5_1(script: Path) -> None:
    assert mistakes(script.read_text()) == []


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("git clone a b && cd b\n", "&& came after 5.1"),
        ("lmgateway check || lmgateway doctor\n", "|| came after 5.1"),
        ("$name = $given ?? 'me'\n", "line 1 isn't PowerShell"),
        ("py -m venv .venv\nif ($here {\n", "line 2 isn't PowerShell"),
        ("export A=b\n", "export isn't what it is in a Unix shell"),
        ("curl http://127.0.0.1:8002/health\n", "curl isn't what it is in a Unix shell"),
        ("curl.exe http://x -d '{\"a\": 1}'\n", "5.1 drops the quotes within the arguments of curl.exe"),
    ],
)
def test_mistakes_are_found(text: str, mistake: str) -> None:
    [found] = mistakes(text)
    assert mistake in found


def test_the_gateway_s_own_commands_have_arguments_that_exist() -> None:
    """A wrong one ends the parser with an exit status."""
    found = [text for block in OF_WINDOWS for text in commands(block.text) if text.startswith("lmgateway ")]
    assert found
    for text in found:
        make_parser().parse_args(shlex.split(text)[1:])


def test_claude_code_gets_the_same_variables() -> None:
    """In PowerShell as in a Unix shell."""
    blocks = find_blocks("docs/clients.md")
    [unix] = [block.text for block in blocks if block.section == "Claude Code"]
    [windows] = [
        block.text for block in blocks if block.language == "powershell" and "claude\n" in block.text
    ]
    assert _SET.findall(windows) == _EXPORT.findall(unix)
    assert "Env:ANTHROPIC_API_KEY" in windows
