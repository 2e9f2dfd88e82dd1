"""What is installed, when, and where it may write."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from lmgateway.cli.doctor import clock, installation, storage
from lmgateway.storage.database import Database

InstallMetadata = Callable[..., None]


@pytest.mark.parametrize(
    ("requirement", "problem"),
    [
        ("aiohttp>=99", "aiohttp 3."),
        ("no-such-package>=1", "no-such-package isn't installed; lmgateway needs no-such-package>=1."),
        ("no-such-package>=1; sys_platform == 'nowhere'", None),
        ("no-such-package>=1; extra == 'dev'", None),
        ("aiohttp>=3", None),
    ],
)
def test_packages(install_metadata: InstallMetadata, requirement: str, problem: str | None) -> None:
    """They are compared with what the gateway's own metadata asks for."""
    install_metadata(requirement)
    (finding,) = installation.examine()
    if problem is None:
        assert finding.message.startswith("lmgateway 9.9.9 with Python 3.")
    else:
        assert (finding.level, finding.message[: len(problem)]) == ("problem", problem)
        assert finding.remedy.endswith(f" -m pip install '{requirement}'")


def test_python(install_metadata: InstallMetadata) -> None:
    """An installer would have refused; a copied environment wasn't asked."""
    install_metadata(python=">=4")
    (finding,) = installation.examine()
    assert (finding.level, finding.message.partition("; ")[2]) == (
        "problem",
        "lmgateway needs >=4.",
    )


def test_clock_that_is_behind(tmp_path: Path) -> None:
    """A file that was written in the future means that the clock is behind."""
    file = tmp_path / "config.toml"
    file.touch()
    assert [finding.level for finding in clock.examine(file)] == ["ok"]
    os.utime(file, times=(time.time() + 86_400,) * 2)
    (finding,) = clock.examine(file)
    assert finding.level == "warning"
    assert f" UTC, but {file} was written on " in finding.message


@pytest.mark.parametrize("folder", ["/dev/null/state", "a-file"])
def test_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    """A folder that can't be written is reported before a model is activated."""
    monkeypatch.chdir(tmp_path)
    Path("a-file").touch()
    (finding,) = storage.examine(folder)
    assert finding.level == "problem"
    assert finding.message.startswith(f"The state can't be saved in {folder}: ")


def test_state_folder_is_not_made(tmp_path: Path) -> None:
    """Looking changes nothing."""
    (finding,) = storage.examine(str(tmp_path / "a" / "b"))
    path = tmp_path / "a" / "b" / "lmgateway.db"
    assert (finding.level, finding.message) == ("ok", f"The state is saved in {path}.")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("mode", "levels"), [(0o700, ["ok"]), (0o777, ["warning", "ok"])])
def test_a_state_folder_that_every_user_can_write(tmp_path: Path, mode: int, levels: list[str]) -> None:
    """There another user can replace the database."""
    tmp_path.chmod(mode)
    assert [finding.level for finding in storage.examine(str(tmp_path))] == levels


async def test_database(tmp_path: Path) -> None:
    """One that the next start would use, refuse, or set aside; looking leaves no file beside it."""
    database = Database(tmp_path)
    await database.open()
    await database.close()
    (finding,) = storage.examine(str(tmp_path))
    assert finding.level == "ok"
    assert [path.name for path in tmp_path.iterdir()] == ["lmgateway.db"]
    with closing(sqlite3.connect(database.path)) as newer:
        newer.execute("PRAGMA user_version = 999")
    (finding,) = storage.examine(str(tmp_path))
    assert (finding.level, "newer lmgateway" in finding.message) == ("problem", True)
    database.path.write_bytes(b"x" * 5000)
    (finding,) = storage.examine(str(tmp_path))
    assert (finding.level, "file is not a database" in finding.message) == ("problem", True)
