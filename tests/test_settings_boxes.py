"""Boxes: what each has from `[lmstudio]`, and where it is from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from yarl import URL

from lmgateway.cli import main
from lmgateway.config import LMStudio
from lmgateway.setting_types import FilePath
from lmgateway.settings import SETTINGS
from tests.support.sources import Sources

ATTIC = '[boxes.attic]\nbase_url = "http://attic.lan:1234"\n'
CELLAR = '[boxes.cellar]\nbase_url = "http://cellar.lan:1234"\n'
TOKEN = "sk-lm-ABCDEFGH:ABCDEFGHIJKLMNOPQRST"

# Every setting that a box may have from [lmstudio]: a text of it, and its value, which isn't the default.
COMMON: Mapping[str, tuple[str, object]] = {
    "api_token": (TOKEN, TOKEN),
    "connect_attempts": ("7", 7),
    "connect_pause_ms": ("8", 8),
    "call_timeout_ms": ("9", 9),
    "load_timeout_ms": ("10", 10),
    "log_dir": ("/logs", FilePath("/logs")),
    "log_monitoring": ("true", True),
    "wake_mac": ("00-11-22-AA-BB-CC", "00-11-22-AA-BB-CC"),
    "wake_address": ("10.0.0.255:7", "10.0.0.255:7"),
    "wake_timeout_ms": ("11", 11),
    "idle_minutes": ("0.5", 0.5),
}


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    return Sources(tmp_path)


def toml(setting: str, text: str) -> str:
    return (
        f"{setting} = {text}"
        if text.replace(".", "").isdigit() or text == "true"
        else f'{setting} = "{text}"'
    )


def test_without_boxes_there_is_one(sources: Sources) -> None:
    """Its name is that of its table. An empty [boxes] names none."""
    for table in ("", "[boxes]\n"):
        config = sources.load(f'[lmstudio]\nbase_url = "http://a:1"\n{table}').config
        assert config.studios == {"lmstudio": LMStudio(base_url=URL("http://a:1"))}
        assert config.boxes == {}


def test_boxes_stay_in_order(sources: Sources) -> None:
    """The first that is up gets what names no model. One of the command line comes last."""
    config = sources.load(CELLAR + ATTIC, cli={"boxes.barn.base_url": "http://barn:1"}).config
    assert list(config.studios) == ["cellar", "attic", "barn"]
    assert config.studios == config.boxes


def test_every_setting_but_the_address_is_tested_here() -> None:
    inherited = {path.removeprefix("lmstudio.") for path in SETTINGS if path.startswith("lmstudio.")}
    assert inherited - {"base_url"} == set(COMMON)


# A token on the command line is a mistake.
INHERITED = [
    (setting, source)
    for setting in COMMON
    for source in ("file", ".env", "environment", "command line")
    if (setting, source) != ("api_token", "command line")
]
# What a box itself sets, in TOML.
OWN = {
    "api_token": '"own"',
    "log_dir": '"/own"',
    "log_monitoring": "false",
    "wake_mac": '""',
    "wake_address": '"own"',
}


@pytest.mark.parametrize(("setting", "source"), INHERITED)
def test_a_box_has_what_it_does_not_set_itself(sources: Sources, setting: str, source: str) -> None:
    """From every source of [lmstudio], with its origin. A box's own value comes before all of them."""
    text, value = COMMON[setting]
    path, [variable] = f"lmstudio.{setting}", SETTINGS[f"lmstudio.{setting}"].env
    own = OWN.get(setting, "1")
    file = f"{ATTIC}{CELLAR}{setting} = {own}\n"
    loaded = sources.load(
        f"[lmstudio]\n{toml(setting, text)}\n{file}" if source == "file" else file,
        dotenv=f"{variable}={text}\n" if source == ".env" else None,
        env={variable: text} if source == "environment" else None,
        cli={path: text} if source == "command line" else None,
    )
    origins = {
        "file": str(sources.file),
        ".env": f"{sources.dotenv} ({variable})",
        "environment": f"environment ({variable})",
        "command line": "command line",
    }
    inherited, kept = loaded.values[f"boxes.attic.{setting}"], loaded.values[f"boxes.cellar.{setting}"]
    assert getattr(loaded.config.boxes["attic"], setting) == inherited.value == value
    assert inherited.origin == loaded.origins[path] == origins[source]
    assert inherited.source == loaded.values[path].source
    assert kept.setting.literal(kept.value).removesuffix(".0") == own
    assert getattr(loaded.config.boxes["cellar"], setting) == kept.value
    assert kept.origin == str(sources.file)


def test_a_box_may_be_set_on_the_command_line(sources: Sources) -> None:
    """Over the file's own value, and over what all boxes have."""
    loaded = sources.load(
        f"[lmstudio]\nwake_timeout_ms = 1\n{ATTIC}wake_timeout_ms = 2\n{CELLAR}",
        cli={"boxes.attic.wake_timeout_ms": "3"},
    )
    assert [box.wake_timeout_ms for box in loaded.config.boxes.values()] == [3, 1]
    assert loaded.origins["boxes.attic.wake_timeout_ms"] == "command line"


def test_check_shows_every_box_and_no_token(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each setting in force with its source: the address of no box in particular isn't one."""
    file = tmp_path / "config.toml"
    file.write_text(
        f'[lmstudio]\napi_token = "{TOKEN}"\n{ATTIC}'
        '[boxes."a.b"]\nbase_url = "http://ab:1"\nidle_minutes = 5\n'
    )
    assert main(["check", "--config", str(file)]) == 0
    output = capsys.readouterr().out
    lines = {line.rpartition("  # ")[0].rstrip(): line.rpartition("  # ")[2] for line in output.splitlines()}
    assert lines['boxes.attic.api_token = "********"'] == str(file)
    assert lines['boxes.attic.base_url = "http://attic.lan:1234"'] == str(file)
    assert lines["boxes.attic.idle_minutes = not set"] == "default"
    assert lines['boxes."a.b".idle_minutes = 5.0'] == str(file)
    assert lines["boxes.attic.call_timeout_ms = 10000"] == "default"
    assert TOKEN not in output
    assert "lmstudio.base_url" not in output


IGNORED = "lmstudio.base_url is ignored, because each box of [boxes] has its own base_url."


@pytest.mark.parametrize("source", ["environment", ".env", "credential"])
def test_an_address_of_a_variable_is_ignored_and_said(sources: Sources, source: str) -> None:
    """A container's environment may have it for all uses. A box never gets it."""
    variable, text = "LMSTUDIO_BASE_URL", "http://common.lan:1"
    (sources.file.parent / variable).write_text(text)
    env = {"environment": {variable: text}, "credential": {"CREDENTIALS_DIRECTORY": str(sources.file.parent)}}
    loaded = sources.load(
        ATTIC, env=env.get(source), dotenv=f"{variable}={text}" if source == ".env" else None
    )
    origin = str(sources.dotenv) if source == ".env" else source
    assert loaded.ignored == (f"{origin} ({variable}): {IGNORED}",)
    assert loaded.config.boxes["attic"].base_url == URL("http://attic.lan:1234")
    assert text not in [value.value for value in loaded.values.values()]
    assert sources.load("", env=env.get(source)).ignored == ()


def test_check_says_what_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a line of stderr, as serve does."""
    file = tmp_path / "config.toml"
    file.write_text(ATTIC)
    monkeypatch.setenv("LMSTUDIO_BASE_URL", "http://127.0.0.1:10")
    assert main(["check", "--config", str(file)]) == 0
    assert capsys.readouterr().err == f"lmgateway: environment (LMSTUDIO_BASE_URL): {IGNORED}\n"
