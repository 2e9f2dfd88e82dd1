"""The active models are saved, whatever else happens at the same time."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from lmgateway.schema.models import ActiveModel, ActiveModels
from lmgateway.storage.active_models import SavedActiveModels
from lmgateway.storage.database import Database
from tests.storage.conftest import ONE, TWO, opened, save_in, saved_in, warnings


@pytest.mark.parametrize("state", [ActiveModels(), ONE, TWO], ids=["nothing active", "one", "everything"])
async def test_a_saved_state_is_loaded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, state: ActiveModels
) -> None:
    """A restart finds the active models with all their parameters; folders are made as needed."""
    folder = tmp_path / "not" / "there yet"
    await save_in(folder, TWO, state)
    assert await saved_in(folder) == state
    assert not warnings(caplog)


async def test_first_start_is_quiet(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without a saved state there is no warning."""
    assert await saved_in(tmp_path / "new") == ActiveModels()
    assert not warnings(caplog)


async def test_a_malformed_row_spoils_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After somebody edited the database, the other rows are used."""
    await save_in(tmp_path, TWO)
    with sqlite3.connect(tmp_path / "lmgateway.db") as edited:
        edited.execute("UPDATE active_models SET model = '{' WHERE kind = 'llm'")
    edited.close()
    assert await saved_in(tmp_path) == ActiveModels(active_embedding_model=TWO.active_embedding_model)
    (warning,) = warnings(caplog)
    assert "(llm) can't be decoded" in warning


async def test_last_of_many_saves_stays(tmp_path: Path) -> None:
    """Concurrent saves run in the order of their calls."""
    states = [ActiveModels(active_model=ActiveModel(model_key=f"m{number}")) for number in range(50)]
    async with opened(tmp_path) as saved:
        await asyncio.gather(*map(saved.save, states))
        assert await saved.load() == states[-1]


async def test_a_save_whose_caller_was_cancelled_runs_in_its_turn(tmp_path: Path) -> None:
    """Cancelling neither removes a waiting save, nor lets the next one overtake it."""
    database, busy, order = Database(tmp_path), threading.Event(), list[str]()
    saved = SavedActiveModels(database)
    await database.open()
    holding = asyncio.create_task(database.read(lambda _connection: busy.wait(10)))
    given_up = asyncio.create_task(saved.save(TWO))
    then = asyncio.create_task(database.read(lambda connection: order.extend(_keys(connection))))
    following = asyncio.create_task(saved.save(ONE))
    await asyncio.sleep(0)  # now all of them have been asked for
    given_up.cancel()
    busy.set()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    await asyncio.gather(holding, then, following)
    assert order == ["embedder", "zwei/ü"]
    await database.close()
    assert await saved_in(tmp_path) == ONE


def _keys(connection: sqlite3.Connection) -> list[str]:
    keys = connection.execute("SELECT json_extract(model, '$.modelKey') FROM active_models ORDER BY kind")
    return [key for (key,) in keys]


async def test_a_fault_of_ours_in_a_transaction_changes_nothing(tmp_path: Path) -> None:
    """Half of a change is none, and the database can be used as before."""
    await save_in(tmp_path, TWO)

    def fail_halfway(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM active_models")
        raise ZeroDivisionError

    database = Database(tmp_path)
    await database.open()
    with pytest.raises(ZeroDivisionError):
        await database.write(fail_halfway)
    assert await SavedActiveModels(database).load() == TWO
    await SavedActiveModels(database).save(ONE)
    assert await SavedActiveModels(database).load() == ONE
    await database.close()
