"""The saved origins of instances, and the saved settings of loads."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from lmgateway.schema.models import Gpu, LoadConfig
from lmgateway.storage.active_models import SavedActiveModels
from lmgateway.storage.database import Database
from lmgateway.storage.migrations import MIGRATIONS
from lmgateway.storage.residency import BoxInstance, ResidencyRows, SavedOrigin, SavedResidency
from tests.storage.conftest import TWO, save_in, warnings

MINE, OTHERS = BoxInstance("a", "mine"), BoxInstance("b", "mine")
ROW = SavedOrigin("qwen", "on-demand", 12.5, "ref-1")
SETTINGS = LoadConfig(context_length=8192, gpu=Gpu(ratio="max"), llama_k_cache_quantization_type="q8_0")


@asynccontextmanager
async def opened(folder: Path, **options: int) -> AsyncIterator[SavedResidency]:
    database = Database(folder)
    await database.open()
    try:
        yield SavedResidency(database, **options)
    finally:
        await database.close()


async def saved_in(folder: Path) -> ResidencyRows:
    """What the next start loads."""
    async with opened(folder) as saved:
        return await saved.load()


def instances(**rows: SavedOrigin | None) -> ResidencyRows:
    return ResidencyRows({BoxInstance("a", name): row for name, row in rows.items()}, {})


async def test_a_restart_finds_what_was_saved(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Instances of two boxes may have the same identifier; a reference may be unknown."""
    rows = ResidencyRows(
        {MINE: ROW, OTHERS: SavedOrigin("zwei/ü", "loaded", 0.0)}, {"qwen": SETTINGS, "zwei/ü": LoadConfig()}
    )
    async with opened(tmp_path) as saved:
        await saved.save(rows)
    assert await saved_in(tmp_path) == rows
    assert not warnings(caplog)


async def test_a_first_start_has_nothing(tmp_path: Path) -> None:
    assert await saved_in(tmp_path) == ResidencyRows({}, {})


async def test_a_row_is_replaced_and_deleted(tmp_path: Path) -> None:
    """The other rows stay as they are; deleting one that isn't there is no error."""
    loaded = SavedOrigin("qwen", "loaded", 1.0)
    async with opened(tmp_path) as saved:
        await saved.save(instances(one=ROW, two=ROW, three=ROW))
        await saved.save(instances(one=loaded, two=None, four=None))
        assert (await saved.load()).instances == instances(one=loaded, three=ROW).instances


async def test_the_settings_of_the_newest_loads_are_kept(tmp_path: Path) -> None:
    """A model that is loaded again is the newest, whenever it was loaded first."""
    first, again, last = (LoadConfig(context_length=tokens) for tokens in (1, 2, 3))
    async with opened(tmp_path, max_settings=3) as saved:
        await saved.save(ResidencyRows({}, dict.fromkeys(("a", "b", "c"), first)))
        for _ in range(5):
            await saved.save(ResidencyRows({}, {"a": again}))
        assert list((await saved.load()).settings.items()) == [("b", first), ("c", first), ("a", again)]
        await saved.save(ResidencyRows({}, {"d": last}))
        assert list((await saved.load()).settings.items()) == [("c", first), ("a", again), ("d", last)]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE loaded_instances SET origin = 'outside' WHERE box = 'a'",
        "UPDATE loaded_instances SET load_seconds = -1 WHERE box = 'a'",
        "UPDATE loaded_instances SET load_seconds = 9e999 WHERE box = 'a'",
        "UPDATE loaded_instances SET load_seconds = 'long' WHERE box = 'a'",
        "UPDATE loaded_instances SET model = x'ff' WHERE box = 'a'",
        "UPDATE loaded_instances SET reference = x'ff' WHERE box = 'a'",
        "UPDATE load_settings SET settings = '{' WHERE model = 'a'",
        "UPDATE load_settings SET settings = '{\"contextLength\": 0}' WHERE model = 'a'",
        "UPDATE load_settings SET settings = '{\"unknown\": 1}' WHERE model = 'a'",
        "UPDATE load_settings SET settings = x'ff' WHERE model = 'a'",
        "UPDATE load_settings SET model = x'ff' WHERE model = 'a'",
    ],
)
async def test_a_malformed_row_spoils_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    """After somebody edited the database, the other rows are used."""
    rows = ResidencyRows({MINE: ROW, OTHERS: ROW}, {"a": SETTINGS, "b": SETTINGS})
    async with opened(tmp_path) as saved:
        await saved.save(rows)
    with closing(sqlite3.connect(tmp_path / "lmgateway.db")) as edited, edited:
        assert edited.execute(damage).rowcount == 1
    found = await saved_in(tmp_path)
    if "loaded_instances" in damage:
        assert found == ResidencyRows({OTHERS: ROW}, rows.settings)
    else:
        assert found == ResidencyRows(rows.instances, {"b": SETTINGS})
    (warning,) = warnings(caplog)
    assert "can't be decoded" in warning


async def test_a_database_from_before_gets_the_tables(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An update of the gateway keeps what it had saved."""
    before = MIGRATIONS[: next(i for i, step in enumerate(MIGRATIONS) if step.__name__ == "_residency")]
    with monkeypatch.context() as earlier:
        earlier.setattr("lmgateway.storage.migrations.MIGRATIONS", before)
        await save_in(tmp_path, TWO)
    database = Database(tmp_path)
    await database.open()
    saved = SavedResidency(database)
    assert await saved.load() == ResidencyRows({}, {})
    await saved.save(ResidencyRows({MINE: ROW}, {"a": SETTINGS}))
    assert await saved.load() == ResidencyRows({MINE: ROW}, {"a": SETTINGS})
    assert await SavedActiveModels(database).load() == TWO
    await database.close()
    assert not warnings(caplog)
