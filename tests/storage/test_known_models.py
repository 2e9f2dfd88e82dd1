"""The saved lists of models of each box."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path

import pytest

from lmgateway.background import DetachedTasks
from lmgateway.boxes.catalogue import Catalogue
from lmgateway.errors import StateNotSaved
from lmgateway.storage.active_models import SavedActiveModels
from lmgateway.storage.database import Database
from lmgateway.storage.known_models import Bodies, KnownModels, SavedKnownModels
from lmgateway.storage.migrations import MIGRATIONS
from tests.storage.conftest import TWO, save_in, warnings
from tests.support.waiting import until

FILE = "lmgateway.db"
NATIVE, SERVED = "/api/v1/models", "/v1/models"
# Stored as they are, whatever is in them.
ONE = {NATIVE: b'{"models":[ ]}\n', SERVED: b'{"data":[{"id":"\\ud83d"}]}'}
OTHER = {SERVED: b"\x00\xff"}
MIB = 1024**2


@asynccontextmanager
async def opened(folder: Path, **options: int) -> AsyncIterator[SavedKnownModels]:
    database = Database(folder)
    await database.open()
    try:
        yield SavedKnownModels(database, **options)
    finally:
        await database.close()


async def saved_in(folder: Path, *boxes: str) -> dict[str, Bodies]:
    """What the next start restores."""
    async with opened(folder) as saved:
        return await KnownModels(saved).restore(boxes)


class Saves(SavedKnownModels):
    """Counts the saves, which fail while `is_broken`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.saves: list[Mapping[str, Bodies]] = []
        self.running = self.most_running = 0
        self.is_broken = False

    async def save(self, changes: Mapping[str, Bodies]) -> None:
        self.saves.append(dict(changes))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if self.is_broken:
                raise StateNotSaved("the disk is full")
            await super().save(changes)
        finally:
            self.running -= 1


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path)
    await database.open()
    yield database
    await database.close()


# ── The table ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_restart_finds_what_was_saved(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of the boxes that are asked for, byte for byte."""
    async with opened(tmp_path) as saved:
        await saved.save({"attic": ONE, "büro": OTHER, "cellar": ONE})
    assert await saved_in(tmp_path, "attic", "büro", "new") == {"attic": ONE, "büro": OTHER}
    assert not warnings(caplog)


async def test_a_first_start_has_nothing(tmp_path: Path) -> None:
    assert await saved_in(tmp_path, "attic") == {}


async def test_the_lists_of_a_box_are_replaced_together(tmp_path: Path) -> None:
    """A list that it no longer sends is gone; those of other boxes stay."""
    async with opened(tmp_path) as saved:
        await saved.save({"attic": ONE, "cellar": ONE})
        await saved.save({"attic": OTHER})
        await saved.save({})
        assert await saved.load(["attic", "cellar"]) == {"attic": OTHER, "cellar": ONE}


async def test_a_body_of_more_than_four_mib_is_not_stored(tmp_path: Path) -> None:
    longest = {NATIVE: b"x" * (4 * MIB + 1), SERVED: b"x" * (4 * MIB)}
    async with opened(tmp_path) as saved:
        await saved.save({"attic": longest})
        assert await saved.load(["attic"]) == {"attic": {SERVED: longest[SERVED]}}
    with closing(sqlite3.connect(tmp_path / FILE)) as stored:
        assert stored.execute("SELECT count(*) FROM known_models").fetchone() == (1,)


async def test_a_hundred_boxes_are_stored(tmp_path: Path) -> None:
    """Those that sent a list last, whenever they sent their first."""
    names = [f"box-{number}" for number in range(101)]
    async with opened(tmp_path) as saved:
        await saved.save(dict.fromkeys(names[:100], ONE))
        await saved.save({names[0]: OTHER})
        assert len(await saved.load(names)) == 100
        await saved.save({names[100]: ONE})
        assert (await saved.load(names)).keys() == set(names) - {names[1]}


@pytest.mark.parametrize(
    ("change", "served", "warned"),
    [
        ("path = x'ff'", None, 1),
        ("body = zeroblob(5 * 1024 * 1024)", None, 0),
        ("body = 'text'", b"text", 0),
        ("body = 7", b"7", 0),
    ],
)
async def test_a_malformed_row_spoils_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: str, served: bytes | None, warned: int
) -> None:
    """After somebody edited the database. Whether a body is a list is judged by whoever uses it."""
    async with opened(tmp_path) as saved:
        await saved.save({"attic": ONE, "cellar": OTHER})
    with closing(sqlite3.connect(tmp_path / FILE)) as edited, edited:
        edited.execute(f"UPDATE known_models SET {change} WHERE box = 'attic' AND path = '/v1/models'")
    left = {NATIVE: ONE[NATIVE]} if served is None else {NATIVE: ONE[NATIVE], SERVED: served}
    assert await saved_in(tmp_path, "attic", "cellar") == {"attic": left, "cellar": OTHER}
    assert len(warnings(caplog)) == warned


async def test_a_database_from_before_gets_the_table(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An update of the gateway keeps what it had saved."""
    before = MIGRATIONS[: next(i for i, step in enumerate(MIGRATIONS) if step.__name__ == "_known_models")]
    with monkeypatch.context() as earlier:
        earlier.setattr("lmgateway.storage.migrations.MIGRATIONS", before)
        await save_in(tmp_path, TWO)
    database = Database(tmp_path)
    await database.open()
    saved = SavedKnownModels(database)
    assert await saved.load(["attic"]) == {}
    await saved.save({"attic": ONE})
    assert await saved.load(["attic"]) == {"attic": ONE}
    assert await SavedActiveModels(database).load() == TWO
    await database.close()
    assert not warnings(caplog)


# ── Saving in the background ───────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def blocked(database: Database) -> AsyncIterator[None]:
    """The database's thread has other work inside."""
    gate = threading.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(database.read(lambda _connection: gate.wait()))
        try:
            yield
        finally:
            gate.set()


async def test_changes_are_saved_in_the_background_one_save_at_a_time(database: Database) -> None:
    """What changes during a save is saved next, and only its newest value."""
    saved = Saves(database)
    known = KnownModels(saved)
    async with blocked(database):
        known.put("attic", ONE)
        await until(lambda: saved.running)
        for bodies in (OTHER, ONE, OTHER):
            known.put("attic", bodies)
        known.put("cellar", ONE)
    await until(lambda: len(saved.saves) == 2 and not saved.running)
    assert saved.saves == [{"attic": ONE}, {"attic": OTHER, "cellar": ONE}]
    assert saved.most_running == 1
    assert await known.restore(["attic", "cellar"]) == {"attic": OTHER, "cellar": ONE}
    await known.close()
    assert len(saved.saves) == 2


async def test_closing_saves_what_is_not_saved_yet(database: Database) -> None:
    known = KnownModels(SavedKnownModels(database))
    known.put("attic", ONE)
    await known.close()
    assert await known.restore(["attic"]) == {"attic": ONE}


async def test_a_failed_save_is_made_again_with_the_next_change(database: Database) -> None:
    """But for the lists that are newer by then."""
    saved = Saves(database)
    known = KnownModels(saved)
    saved.is_broken = True
    known.put("attic", ONE)
    known.put("cellar", ONE)
    await until(lambda: saved.saves and not saved.running)
    saved.is_broken = False
    known.put("cellar", OTHER)
    await until(lambda: len(saved.saves) == 2 and not saved.running)
    assert saved.saves[1] == {"attic": ONE, "cellar": OTHER}
    await known.close()
    assert await known.restore(["attic", "cellar"]) == {"attic": ONE, "cellar": OTHER}


async def test_closing_makes_a_failed_save_again(database: Database) -> None:
    saved = Saves(database)
    known = KnownModels(saved)
    saved.is_broken = True
    known.put("attic", ONE)
    await until(lambda: saved.saves and not saved.running)
    saved.is_broken = False
    await known.close()
    assert await known.restore(["attic"]) == {"attic": ONE}


async def test_lists_that_stay_the_same_are_saved_once(database: Database) -> None:
    """However often LM Studio is asked for them, and at whatever time."""
    saved, catalogue, times = Saves(database), Catalogue(), iter(range(100))
    known = KnownModels(saved)
    catalogue.on_bodies = partial(known.put, "attic")

    async def read(path: str) -> tuple[int, bytes]:
        if path == SERVED:
            return 200, b'{"data":[{"id":"key","created":%d}]}' % next(times)
        return 200, b'{"models":[{"key":"key"}]}'

    for _ in range(4):
        await catalogue.refresh(read, DetachedTasks())
    await known.close()
    assert len(saved.saves) == 1
    (restored,) = (await known.restore(["attic"])).values()
    assert restored == {NATIVE: b'{"models":[{"key":"key"}]}', SERVED: b'{"data":[{"id":"key","created":0}]}'}
