"""The database's thread dies, for a reason that no work has."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from lmgateway.errors import StateNotSaved
from lmgateway.storage.active_models import SavedActiveModels
from lmgateway.storage.database import Database
from tests.storage.conftest import ONE, TWO, saved_in
from tests.support.waiting import until


def die(connection: sqlite3.Connection) -> None:
    """Half of a change, and an exception that is no work's."""
    connection.execute("DELETE FROM active_models")
    raise SystemExit


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "database"]


async def test_it_is_started_again_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The caller gets an error, half a change is none, and the next calls work as before."""
    failures: list[BaseException] = []
    database = Database(tmp_path, on_failure=failures.append)
    await database.open()
    saved = SavedActiveModels(database)
    await saved.save(TWO)
    dying = asyncio.create_task(database.write(die))
    waiting = asyncio.create_task(saved.load())
    with pytest.raises(StateNotSaved, match="thread that writes the state died"):
        await dying
    assert await waiting == TWO
    assert await saved.load() == TWO
    await saved.save(ONE)
    assert failures == []
    assert [record.levelname for record in caplog.records if "thread died" in record.message] == ["ERROR"]
    await database.close()
    assert await saved_in(tmp_path) == ONE
    assert threads() == []


async def test_the_second_time_the_process_can_not_go_on(tmp_path: Path) -> None:
    """Nothing waits for it for ever: neither a waiting call, nor a later one, nor the end."""
    failures: list[BaseException] = []
    database = Database(tmp_path, on_failure=failures.append)
    await database.open()
    saved = SavedActiveModels(database)
    await saved.save(TWO)
    for _ in range(2):
        with pytest.raises(StateNotSaved):
            await database.write(die)
        waiting = asyncio.create_task(saved.load())
        await until(waiting.done)
    with pytest.raises(StateNotSaved):
        await waiting
    with pytest.raises(StateNotSaved):
        await asyncio.wait_for(saved.save(ONE), 5)
    assert [type(failure) for failure in failures] == [SystemExit]
    await asyncio.wait_for(database.close(), 5)
    await until(lambda: threads() == [])
    assert await saved_in(tmp_path) == TWO


async def test_a_system_that_allows_no_more_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the thread can't be started again."""
    failures: list[BaseException] = []
    database = Database(tmp_path, on_failure=failures.append)
    await database.open()

    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    with pytest.raises(StateNotSaved):
        await database.write(die)
    await until(lambda: failures)
    assert str(failures[0]) == "can't start new thread"
    await database.close()


async def test_one_that_was_never_opened_can_be_closed(tmp_path: Path) -> None:
    await Database(tmp_path).close()
