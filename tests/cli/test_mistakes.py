"""Wrong commands and options, and the help."""

from __future__ import annotations

import re

import pytest

from lmgateway.cli import main
from lmgateway.cli.help_text import GROUPS
from lmgateway.cli.parser import make_parser

ALL = "`lmgateway --help` lists all."


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("modls", f"unknown command 'modls'. Did you mean 'models'? {ALL}"),
        ("xyzzy", f"unknown command 'xyzzy'. {ALL}"),
        (
            "--config c.toml serve",
            f"the option '--config' stands before a command. Write it behind: `lmgateway … --config`. {ALL}",
        ),
        ("list", f"unknown command 'list'. Did you mean 'models'? {ALL}"),
        ("ls", f"unknown command 'ls'. Did you mean 'models'? {ALL}"),
        ("run qwen", f"unknown command 'run'. Did you mean 'chat'? {ALL}"),
        ("start", f"unknown command 'start'. Did you mean 'serve'? {ALL}"),
        ("stop qwen", f"unknown command 'stop'. Did you mean 'unload'? {ALL}"),
        (
            "restart",
            "unknown command 'restart'. Press Ctrl-C where `lmgateway serve` runs, and start it again.",
        ),
        ("--verson", f"unknown option '--verson'. Did you mean '--version'? {ALL}"),
        ("log", f"unknown command 'log'. Did you mean 'events'? {ALL}"),
        ("logs -f", f"unknown command 'logs'. Did you mean 'events'? {ALL}"),
        ("pull qwen", "unknown command 'pull'. LM Studio downloads models."),
        ("get qwen", "unknown command 'get'. LM Studio downloads models."),
        (
            "keys lst",
            "unknown command 'keys lst'. Did you mean 'keys list'? `lmgateway keys --help` lists all.",
        ),
        (
            "keys rm bob",
            "unknown command 'keys rm'. Did you mean 'keys revoke'? `lmgateway keys --help` lists all.",
        ),
        (
            "load qwen --whit contextLength=8192",
            "unknown option '--whit'. Did you mean '--with'? `lmgateway load --help` lists all.",
        ),
        (
            "keys add bob --lmit=running=2",
            "unknown option '--lmit'. Did you mean '--limit'? `lmgateway keys add --help` lists all.",
        ),
        ("load qwen now", "unexpected argument 'now'. `lmgateway load --help` lists all."),
    ],
)
def test_a_mistake_says_what_is_near(
    arguments: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line on stderr, with the status of a usage error."""
    assert main(arguments.split()) == 64
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"lmgateway: {sentence}")
    assert shown.err.count("\n") == 1


def test_a_missing_model_says_what_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    """Beside the usage."""
    for command in ("load", "unload", "activate"):
        with pytest.raises(SystemExit) as ended:
            main([command])
        shown = capsys.readouterr().err
        assert (ended.value.code, shown.endswith("; `lmgateway models` lists them\n")) == (2, True), shown


def test_every_other_name_leads_to_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    """What a hint names can be typed."""
    for word in ("ask", "config", "info", "top", "up", "whoami", "keys create", "keys edit", "keys ls"):
        assert main(word.split()) == 64
        hint = re.search(r"Did you mean '(.*)'\?", capsys.readouterr().err)
        assert hint is not None, word
        with pytest.raises(SystemExit) as ended:
            main([*hint[1].split(), "--help"])
        assert ended.value.code == 0
        capsys.readouterr()


def test_a_value_behind_a_wrong_option_isnt_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """It may be a key."""
    assert main(["models", "--ky=sk-lm-secret"]) == 64
    assert main(["models", "--kee", "sk-lm-secret"]) == 64
    assert "secret" not in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["help"], ["--help"]])
def test_without_a_command_it_shows_the_help(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On stdout, with status 0: each command once, in its group, within the terminal's width."""
    monkeypatch.setenv("COLUMNS", "70")
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert [line for line in shown.splitlines() if len(line) > 70] == []
    assert [f"{title}:" for title in GROUPS] == re.findall(r"^[A-Z].*:$", shown, re.MULTILINE)
    listed = re.findall(r"^  ([a-z]+)  ", shown, re.MULTILINE)
    assert sorted(listed) == sorted(make_parser().commands)


def test_help_and_version_are_commands_too(capsys: pytest.CaptureFixture[str]) -> None:
    """`lmgateway help keys add` is `lmgateway keys add --help`."""
    for words, said in (
        (["help", "keys", "add"], "usage: lmgateway keys add"),
        (["version"], "lmgateway 0"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert (ended.value.code, said in capsys.readouterr().out) == (0, True)
