"""The database's file: its modes and settings, and one that can't be used or written."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from lmgateway.errors import StateNotSaved
from lmgateway.schema.models import ActiveModel, ActiveModels
from lmgateway.storage.active_models import SavedActiveModels
from lmgateway.storage.database import Database
from lmgateway.storage.migrations import MIGRATIONS
from tests.storage.conftest import ONE, TWO, Mount, files, opened, save_in, saved_in, warnings
from tests.support.process import run

FILE = "lmgateway.db"
REMEDY = r"Make the folder writable and free some disk space, or set server\.state_dir"


def change(path: Path, statement: str) -> None:
    """As another program would."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def large(name: str) -> ActiveModels:
    """More than a page holds, so that it needs room of its own."""
    return ActiveModels(active_model=ActiveModel(model_key=name * 50_000))


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
async def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    """It will hold the hashes of keys."""
    async with opened(tmp_path) as saved:
        await saved.save(ONE)
        assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == dict.fromkeys(
            (FILE, f"{FILE}-wal", f"{FILE}-shm"), 0o600
        )
    assert set(files(tmp_path)) == {FILE}


async def test_what_is_committed_is_on_the_disk(tmp_path: Path) -> None:
    """A power cut loses no change that was answered: SQLite's settings ensure that."""
    database = Database(tmp_path)
    await database.open()
    settings = ("journal_mode", "synchronous", "fullfsync", "user_version")
    asked = [
        await database.read(lambda connection, name=name: connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in settings
    ]
    await database.close()
    assert dict(zip(settings, asked, strict=True)) == {
        "journal_mode": "wal",
        "synchronous": 3,
        "fullfsync": 1,
        "user_version": len(MIGRATIONS),
    }


def damage_a_page(content: bytes) -> bytes:
    assert len(content) > 3 * 4096
    return content[:8192] + b"\xaa" * 4096 + content[12288:]


BROKEN = [
    pytest.param(lambda _content: b"no database at all, and long enough for a header" * 10, id="text"),
    pytest.param(lambda content: bytes(len(content)), id="zeros, as after a power cut"),
    pytest.param(lambda content: content[:5000], id="truncated"),
    pytest.param(damage_a_page, id="a damaged page"),
]


@pytest.mark.parametrize("breaking", BROKEN)
async def test_one_that_is_malformed_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, breaking: Callable[[bytes], bytes]
) -> None:
    """The gateway starts afresh, warns once, and leaves the file as it was under another name."""
    await save_in(tmp_path, large("m"))
    path = tmp_path / FILE
    content = breaking(path.read_bytes())
    path.write_bytes(content)
    assert await saved_in(tmp_path) == ActiveModels()
    (aside,) = tmp_path.glob(f"{FILE}.*.broken")
    assert aside.read_bytes() == content
    (warning,) = warnings(caplog)
    assert str(path) in warning
    assert aside.name in warning
    await save_in(tmp_path, TWO)
    assert await saved_in(tmp_path) == TWO
    assert len(warnings(caplog)) == 1


async def test_the_wal_of_a_malformed_one_is_set_aside_with_it(tmp_path: Path) -> None:
    """It has the last changes; SQLite recognises both by their common name."""
    await save_in(tmp_path, large("m"))
    database = Database(tmp_path)
    await database.open()
    await database.write(lambda connection: connection.execute("CREATE TABLE other (x)"))
    crashed = files(tmp_path)
    await database.close()
    crashed[FILE] = damage_a_page(crashed[FILE])
    for name, content in crashed.items():
        (tmp_path / name).write_bytes(content)
    assert await saved_in(tmp_path) == ActiveModels()
    (aside,) = tmp_path.glob(f"{FILE}.*.broken")
    assert aside.read_bytes() == crashed[FILE]
    assert aside.with_name(f"{aside.name}-wal").read_bytes() == crashed[f"{FILE}-wal"]


async def test_a_malformed_one_in_a_read_only_folder_stays_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make_read_only: Callable[[Path], None]
) -> None:
    (tmp_path / FILE).write_bytes(b"x" * 5000)
    make_read_only(tmp_path)
    assert await saved_in(tmp_path) == ActiveModels()
    assert ["can't be saved in" in text or "can't be read" in text for text in warnings(caplog)] == [True] * 2
    assert set(files(tmp_path)) == {FILE}


async def test_a_newer_one_stops_the_start_and_is_not_changed(tmp_path: Path) -> None:
    """With one line, and the status at which systemd doesn't try again."""
    await save_in(tmp_path, ONE)
    change(tmp_path / FILE, f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    before = files(tmp_path)
    status, output = await run(
        *("serve", "--host", "127.0.0.1", "--port", "0"), cwd=tmp_path, GATEWAY_STATE_DIR=str(tmp_path)
    )
    assert status == 78
    (line,) = output.splitlines()
    assert line.startswith(f"lmgateway: The database in {tmp_path} is of a newer lmgateway: ")
    assert files(tmp_path)[FILE] == before[FILE]
    assert not list(tmp_path.glob("*.broken"))


async def test_a_read_only_folder_is_read_and_not_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make_read_only: Callable[[Path], None]
) -> None:
    """The saved state is used; a change fails clearly, is counted, and changes nothing."""
    await save_in(tmp_path, TWO)
    make_read_only(tmp_path)
    database = Database(tmp_path)
    await database.open()
    (warning,) = warnings(caplog)
    assert "the state can't be saved in" in warning
    saved = SavedActiveModels(database)
    with pytest.raises(StateNotSaved, match=f"{REMEDY}; then start the gateway again") as raised:
        await saved.save(ONE)
    assert str(tmp_path) in raised.value.message
    assert await saved.load() == TWO
    assert database.errors == 1
    await database.close()


async def test_a_read_only_folder_after_a_crash_is_read_to_its_last_change(
    tmp_path: Path, make_read_only: Callable[[Path], None]
) -> None:
    """Changes that are only in the WAL count too."""
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    await save_in(tmp_path, ONE)
    async with opened(tmp_path) as saved:
        await saved.save(TWO)
        for name in (FILE, f"{FILE}-wal", f"{FILE}-shm"):
            (crashed / name).write_bytes((tmp_path / name).read_bytes())
    make_read_only(crashed)
    assert await saved_in(crashed) == TWO


async def test_folder_that_cannot_be(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A state folder below a file is a warning at the start."""
    (tmp_path / "file").touch()
    async with opened(tmp_path / "file" / "state") as saved:
        assert "can't be saved in" in warnings(caplog)[0]
        assert await saved.load() == ActiveModels()
        with pytest.raises(StateNotSaved, match="isn't a folder"):
            await saved.save(ONE)


async def test_a_deleted_one_fails_the_next_change(tmp_path: Path) -> None:
    """SQLite would continue to write to an unlinked file."""
    async with opened(tmp_path) as saved:
        await saved.save(ONE)
        (tmp_path / FILE).unlink()
        with pytest.raises(StateNotSaved, match=r"was moved or deleted.*start the gateway again"):
            await saved.save(TWO)
        assert await saved.load() == ONE


async def test_one_that_another_program_locks_for_too_long(tmp_path: Path) -> None:
    async with opened(tmp_path, busy_seconds=0) as saved:
        await saved.save(ONE)
        with closing(sqlite3.connect(tmp_path / FILE)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StateNotSaved, match="database is locked"):
                await saved.save(TWO)
        assert await saved.load() == ONE
        await saved.save(TWO)
    assert await saved_in(tmp_path) == TWO


async def test_a_disk_that_is_full_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mount: Mount
) -> None:
    """The error says why, the old state remains, and with room saves work again."""
    disk = tmp_path / "disk"
    mount(disk, "-t", "tmpfs", "-o", "size=512k", "tmpfs")
    database = Database(disk)
    await database.open()
    saved = SavedActiveModels(database)
    await saved.save(TWO)
    ballast = disk / "ballast"
    fill(ballast)
    with pytest.raises(StateNotSaved, match=f"disk is full.*{REMEDY}\\.$"):
        await saved.save(large("m"))
    assert (await saved.load(), database.errors) == (TWO, 1)
    assert ["can't be saved in" in warning for warning in warnings(caplog)] == [True]
    ballast.unlink()
    await saved.save(large("m"))
    await database.close()
    assert await saved_in(disk) == large("m")


async def test_a_disk_that_is_full_at_the_start(tmp_path: Path, mount: Mount) -> None:
    """The saved state is used, and a change fails clearly."""
    disk = tmp_path / "disk"
    mount(disk, "-t", "tmpfs", "-o", "size=512k", "tmpfs")
    await save_in(disk, TWO)
    fill(disk / "ballast")
    async with opened(disk) as saved:
        assert await saved.load() == TWO
        with pytest.raises(StateNotSaved, match=REMEDY):
            await saved.save(ONE)
        assert await saved.load() == TWO
    (disk / "ballast").unlink()
    assert await saved_in(disk) == TWO


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(4096))


async def test_one_that_may_not_grow_changes_nothing(tmp_path: Path) -> None:
    """As a full disk, on machines where nothing can be mounted."""
    database = Database(tmp_path)
    await database.open()
    saved = SavedActiveModels(database)
    await saved.save(TWO)
    await database.read(lambda connection: connection.execute("PRAGMA max_page_count = 4").fetchone())
    with pytest.raises(StateNotSaved, match=f"disk is full.*{REMEDY}\\.$"):
        await saved.save(large("m"))
    assert (await saved.load(), database.errors) == (TWO, 1)
    await saved.save(ONE)
    await database.close()
    assert await saved_in(tmp_path) == ONE


async def test_those_that_are_made_at_once_are_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Processes that start in a new folder at the same time share its database."""
    first, *others = databases = [Database(tmp_path) for _ in range(8)]
    await asyncio.gather(*(database.open() for database in databases))
    for state in (ONE, TWO):
        await SavedActiveModels(first).save(state)
        assert [await SavedActiveModels(other).load() for other in others] == [state] * len(others)
    await asyncio.gather(*(database.close() for database in databases))
    assert not warnings(caplog)
