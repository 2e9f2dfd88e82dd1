"""The scripts in windows/, parsed: no machine of the tests has PowerShell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import tree_sitter_powershell
from tree_sitter import Language, Node, Parser

from lmgateway.config import Server
from lmgateway.storage.database import FILE_NAME as DATABASE
from lmgateway.storage.folder_lock import FILE_NAME as LOCK
from tests.support.process import run

WINDOWS = Path(__file__).parent.parent / "windows"
SCRIPTS = sorted(WINDOWS.glob("*.ps1"))
INSTALL = WINDOWS / "install-service.ps1"
POWERSHELL = Parser(Language(tree_sitter_powershell.language()))
# The functions of a script are named like cmdlets, by Verb-Noun.
CMDLETS = {
    *(
        "Copy-Item",
        "Get-Acl",
        "Get-ChildItem",
        "Get-CimInstance",
        "Get-FileHash",
        "Get-Process",
        "Get-Service",
    ),
    *("Join-Path", "Move-Item", "New-Item", "New-NetFirewallRule", "New-Object", "New-Service", "Out-Null"),
    *("Pop-Location", "Push-Location", "Remove-Item", "Remove-NetFirewallRule", "Resolve-Path"),
    *("Select-String", "Set-Acl", "Set-StrictMode", "Split-Path", "Start-Service", "Start-Sleep"),
    *("Stop-Service", "Test-Path", "Unblock-File", "Wait-Process", "Where-Object", "Write-Host"),
}
AUTOMATIC = {"_", "home", "PSScriptRoot", "LASTEXITCODE", "ErrorActionPreference", "true", "false", "null"}


def nodes(root: Node, kind: str) -> Iterator[Node]:
    if root.type == kind:
        yield root
    for child in root.children:
        yield from nodes(child, kind)


def texts(root: Node, kind: str) -> list[str]:
    return [(node.text or b"").decode() for node in nodes(root, kind)]


def parse(script: Path) -> Node:
    return POWERSHELL.parse(script.read_bytes()).root_node


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_is_powershell(script: Path) -> None:
    root = parse(script)
    wrong = [node.start_point for kind in ("ERROR",) for node in nodes(root, kind)]
    assert (root.has_error, wrong) == (False, [])
    # Windows PowerShell 5.1 has neither, and its console's code page isn't UTF-8.
    assert {"&&", "||", "??"} & set(re.findall(r"\S+", script.read_text())) == set()
    assert script.read_text().isascii()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_every_command_of_a_script_exists(script: Path) -> None:
    """A function of its own, before the first call, or a cmdlet of PowerShell 5.1."""
    root = parse(script)
    defined = texts(root, "function_name")
    called = {name for name in texts(root, "command_name") if re.fullmatch(r"[A-Z]\w+-\w+", name)}
    assert called - set(defined) - CMDLETS == set()
    assert set(defined) - called == set()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_every_variable_of_a_script_is_set(script: Path) -> None:
    """In strict mode, a mistyped one ends the script half-way."""
    text = script.read_text()
    used = {name.lower() for name in re.findall(r"\$\{?(?:env:)?(\w+)", re.sub(r"\$env:\w+", "", text))}
    assigned = re.findall(r"\$(\w+)(?:, \$(\w+))* (?:=|in) |\[[\w\[\].]+\] \$(\w+)", text)
    assigned += re.findall(r", \$(\w+) =", text)
    names = {name.lower() for found in assigned for name in ([found] if isinstance(found, str) else found)}
    assert used - names - {name.lower() for name in AUTOMATIC} == set()


def test_the_service_takes_over_what_a_terminal_left() -> None:
    """The files have the gateway's names, and the state has its folder on Windows."""
    text = INSTALL.read_text()
    [parameters] = texts(parse(INSTALL), "param_block")
    assert {"$Config", "$State", "$WinSW", "$Python", "$OpenFirewall"} == set(
        re.findall(r"\] (\$\w+)", parameters)
    )
    # platformdirs' user_state_path there.
    assert "$State = (Join-Path $env:LOCALAPPDATA 'lmgateway')" in parameters
    assert f"'{DATABASE}'" in text
    assert f"'{LOCK}'" in text
    for parameter in re.findall(r"\] \$(\w+)", parameters):
        assert re.search(rf"^\.PARAMETER {parameter}$", text, re.MULTILINE), parameter


def test_the_order_keeps_everything() -> None:
    """All checks first; the key is made only after the settings came, which may have one."""
    main = INSTALL.read_text().partition("# All checks come before the first change.")[2]
    words = (
        *("Assert-Python", "Assert-OwnData", "Assert-NoGateway", "Stop-Service", "Initialize-Folders"),
        *("Copy-Config", "Copy-State", "Initialize-Key", "Start-Wrapper"),
    )
    places = [main.index(f"\n{word}") if word != "Stop-Service" else main.index(word) for word in words]
    assert places == sorted(places)


async def test_the_script_reads_the_output_of_check(tmp_path: Path) -> None:
    """Its patterns fit the lines that `lmgateway check` prints."""
    patterns = re.findall(r"-Pattern '(.*?)'", INSTALL.read_text())
    key, port = sorted(patterns)
    status, without = await run("check", cwd=tmp_path)
    assert status == 0
    assert re.search(key, without, re.MULTILINE) is None
    (tmp_path / "config.toml").write_text('[auth]\napi_key = "a key"\n')
    _, output = await run("check", cwd=tmp_path)
    assert re.search(key, output, re.MULTILINE)
    found = re.search(port, output, re.MULTILINE)
    assert found is not None
    assert int(found[1]) == Server().port
