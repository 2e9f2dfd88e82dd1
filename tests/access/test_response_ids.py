"""The keys that got responses: the newest ones, over restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lmgateway import background
from lmgateway.access import response_ids
from lmgateway.access.response_ids import ResponseIds
from lmgateway.errors import PreviousResponseNotFound
from lmgateway.storage.database import Database
from lmgateway.storage.response_ids import SavedResponseIds
from tests.support.waiting import until

ALICE = ("alice", "box")


@asynccontextmanager
async def opened(folder: Path, max_ids: int = 100) -> AsyncIterator[tuple[ResponseIds, Database]]:
    database = Database(folder)
    await database.open()
    ids = ResponseIds(SavedResponseIds(database, max_ids=max_ids))
    await ids.restore()
    try:
        yield ids, database
        await ids.close()
    finally:
        await database.close()


async def test_ids_outlive_a_restart(tmp_path: Path) -> None:
    """With key and box."""
    async with opened(tmp_path) as (ids, _):
        ids.bind("resp_1", *ALICE)
        ids.bind("\ud83d", *ALICE)
    async with opened(tmp_path) as (ids, _):
        assert [ids.owner(name) for name in ("resp_1", "\ud83d", "resp_2")] == [ALICE, ALICE, None]


async def test_a_box_with_another_address_has_none_of_them(tmp_path: Path) -> None:
    """Over restarts, too; the key still counts."""
    async with opened(tmp_path) as (ids, _):
        ids.bind("resp_1", *ALICE)
        ids.bind("resp_2", "alice", "other")
    async with opened(tmp_path) as (ids, _):
        ids.forget_box("box")
        ids.bind("resp_3", *ALICE)
    async with opened(tmp_path) as (ids, _):
        owners = [ids.owner(name) for name in ("resp_1", "resp_2", "resp_3")]
        assert owners == [("alice", ""), ("alice", "other"), ALICE]


async def test_ids_are_saved_while_the_gateway_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In batches: kill -9 loses only the last second's."""
    monkeypatch.setattr(response_ids, "SAVE_SECONDS", 0)
    async with opened(tmp_path) as (ids, database), background.running(ids.save):
        for number in range(3):
            ids.bind(f"resp_{number}", *ALICE)
        saved = SavedResponseIds(database)

        async def are_saved() -> None:
            while len(await saved.load()) < 3:
                await asyncio.sleep(0)

        await asyncio.wait_for(are_saved(), 10)


async def test_the_newest_ids_stay(tmp_path: Path) -> None:
    """In memory and in the database."""
    async with opened(tmp_path, 10) as (ids, _):
        for number in range(25):
            ids.bind(f"resp_{number}", *ALICE)
        known = [number for number in range(25) if ids.owner(f"resp_{number}")]
        assert known == [*range(15, 25)]
    async with opened(tmp_path, 10) as (ids, _):
        ids.bind("resp_25", *ALICE)
        known = [number for number in range(26) if ids.owner(f"resp_{number}")]
        assert known == [*range(16, 26)]
    async with opened(tmp_path, 10) as (ids, _):
        assert [number for number in range(26) if ids.owner(f"resp_{number}")] == [*range(16, 26)]


async def test_the_first_key_counts(tmp_path: Path) -> None:
    """Nobody takes over the response of another key."""
    async with opened(tmp_path) as (ids, _):
        ids.bind("resp_1", *ALICE)
        ids.bind("resp_1", "bob", "box")
        ids.check("resp_1", "alice")
        for response_id in ("resp_2", None):
            ids.check(response_id, "bob")
        with pytest.raises(PreviousResponseNotFound):
            ids.check("resp_1", "bob")


async def test_the_tokens_of_a_conversation_are_known_when_its_response_ends(tmp_path: Path) -> None:
    """At first only the id is; another key changes nothing, and a restart forgets them."""
    async with opened(tmp_path, 2) as (ids, _):
        ids.bind("resp_1", *ALICE)
        assert ids.tokens("resp_1") == 0
        ids.bind("resp_1", *ALICE, tokens=1200)
        ids.bind("resp_1", *ALICE)
        ids.bind("resp_1", "bob", "box", tokens=7)
        assert [ids.tokens(name) for name in ("resp_1", "resp_2", None)] == [1200, 0, 0]
        ids.bind("resp_2", *ALICE, tokens=30)
        ids.bind("resp_3", *ALICE)
        assert [ids.tokens(name) for name in ("resp_1", "resp_2", "resp_3")] == [0, 30, 0]
    async with opened(tmp_path, 2) as (ids, _):
        assert ids.tokens("resp_2") == 0
        ids.bind("resp_2", *ALICE, tokens=31)
        assert ids.tokens("resp_2") == 31


async def test_ids_that_cannot_be_saved_are_kept_and_the_failure_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are saved as soon as the disk allows it."""
    monkeypatch.setattr(response_ids, "SAVE_SECONDS", 0)
    monkeypatch.setattr(response_ids, "RETRY_SECONDS", 0)
    async with opened(tmp_path) as (ids, database):
        path = database.path
        moved = path.rename(path.with_suffix(".moved"))
        async with background.running(ids.save):
            ids.bind("resp_1", *ALICE)
            await until(lambda: database.errors >= 2)
            assert ids.owner("resp_1") == ALICE
            moved.rename(path)
            saved = SavedResponseIds(database)

            async def is_saved() -> None:
                while not await saved.load():
                    await asyncio.sleep(0)

            await asyncio.wait_for(is_saved(), 10)


async def test_the_database_has_digests_only(tmp_path: Path) -> None:
    """Who copies it can continue no conversation."""
    async with opened(tmp_path) as (ids, _):
        ids.bind("resp_of_a_conversation", *ALICE)
    content = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
    assert b"alice" in content
    assert b"resp_of_a_conversation" not in content
