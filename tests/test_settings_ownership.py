"""Which files may be another user's."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lmgateway import settings
from lmgateway.settings import ownership

Load = Callable[[], settings.Loaded]
OTHER_USER = 54321


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load a config.toml and an .env of the user's own, in a folder of the user's own."""
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    for name, text in (("config.toml", "server.port = 1\n"), (".env", "GATEWAY_PORT=2\n")):
        file = tmp_path / name
        file.write_text(text)
        file.chmod(0o644)
    return lambda: settings.load(file=None, environ={})


def change_owner(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Make the file another user's: by its owner if that is permitted, else by the process's user."""
    try:
        os.chown(path, OTHER_USER, -1, follow_symlinks=False)
    except PermissionError:
        monkeypatch.setattr(os, "geteuid", lambda: OTHER_USER)


def test_the_users_own_files_are_not_reported(load: Load) -> None:
    assert list(ownership.foreign_files(load())) == []


@pytest.mark.parametrize("name", ["config.toml", ".env"])
def test_a_file_that_every_user_can_write_is_reported(load: Load, name: str) -> None:
    Path(name).chmod(0o646)
    [sentence] = ownership.foreign_files(load())
    path = Path(name).absolute()
    assert sentence == (
        f"The settings in {path} may be another user's: every user of this machine can change it."
    )


def test_a_file_of_another_user_is_reported(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    change_owner(monkeypatch, Path("config.toml"))
    first, *_ = ownership.foreign_files(load())
    assert "config.toml may be another user's: it belongs to " in first


def test_a_link_of_another_user_is_reported(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner chose which of the user's own files is read."""
    (tmp_path / "config.toml").rename(tmp_path / "mine.toml")
    (tmp_path / "config.toml").symlink_to("mine.toml")
    assert list(ownership.foreign_files(load())) == []
    change_owner(monkeypatch, tmp_path / "config.toml")
    first, *_ = ownership.foreign_files(load())
    assert "config.toml may be another user's: it belongs to " in first


def test_a_link_to_a_file_that_every_user_can_write_is_reported(load: Load, tmp_path: Path) -> None:
    (tmp_path / "config.toml").rename(tmp_path / "theirs.toml")
    (tmp_path / "theirs.toml").chmod(0o666)
    (tmp_path / "config.toml").symlink_to("theirs.toml")
    [sentence] = ownership.foreign_files(load())
    assert sentence.endswith("every user of this machine can change it.")


@pytest.mark.parametrize(("mode", "number"), [(0o777, 2), (0o1777, 0), (0o775, 0)])
def test_a_folder_in_which_every_user_can_replace_files(
    load: Load, tmp_path: Path, mode: int, number: int
) -> None:
    """In a sticky one, such as /tmp, only a file's owner can."""
    tmp_path.chmod(mode)
    sentences = list(ownership.foreign_files(load()))
    assert len(sentences) == number
    assert all(sentence.endswith("can replace it.") for sentence in sentences)


def test_a_folders_name_is_printed_without_control_characters(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "a\x1b[2Jb"
    odd.mkdir()
    (odd / "config.toml").write_text("")
    (odd / "config.toml").chmod(0o666)
    monkeypatch.chdir(odd)
    [sentence] = ownership.foreign_files(load())
    assert sentence.isprintable()


def test_what_is_not_a_regular_file_is_not_reported(load: Load) -> None:
    """Such as /dev/null, or the pipe of a shell's <(…)."""
    loaded = settings.load(file=Path(os.devnull), environ={}, dotenv=Path("missing"))
    assert list(ownership.foreign_files(loaded)) == []
