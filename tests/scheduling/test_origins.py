"""What the gateway has loaded: known at once, saved in the background, and checked against LM Studio."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from yarl import URL

from lmgateway.boxes.box import Box
from lmgateway.boxes.fleet import Fleet
from lmgateway.config import LMStudio
from lmgateway.errors import UpstreamUnavailable
from lmgateway.observe.activity import Activity
from lmgateway.observe.event_stream import Events
from lmgateway.observe.prometheus import Metrics
from lmgateway.scheduling.residency import origins as module
from lmgateway.scheduling.residency.origins import Origins
from lmgateway.schema.models import LoadConfig, LoadRequest
from lmgateway.simulator import Pace, Simulator
from lmgateway.storage.database import Database
from lmgateway.storage.residency import SavedOrigin, SavedResidency
from tests.support.studio import running_studio

A, B = LoadConfig(context_length=1), LoadConfig(context_length=2)
LLM = "qwen2.5-7b-instruct"


@asynccontextmanager
async def opened(folder: Path, **options: Any) -> AsyncIterator[tuple[Origins, Database]]:
    database = Database(folder, busy_seconds=0)
    await database.open()
    origins = Origins(SavedResidency(database, **options))
    await origins.restore()
    try:
        yield origins, database
        await origins.close()
    finally:
        await database.close()


async def saved_in(database: Database) -> dict[str, SavedOrigin | None]:
    """The saved instances by identifier, when everything that was asked of the database before is done."""
    rows = await SavedResidency(database).load()
    return {name.identifier: row for name, row in rows.instances.items()}


async def test_origins_outlive_a_restart(tmp_path: Path) -> None:
    """An instance with a saved identifier and model is the gateway's own; with another model it isn't."""
    async with opened(tmp_path) as (origins, _):
        origins.put("box", "qwen", "qwen", "on-demand", 12.5, "ref-1")
        origins.put("box", "mine", "qwen", "loaded", 3.0)
        origins.put("box", "gone", "qwen", "loaded", 3.0)
        origins.change("box", "qwen", "loaded")
        origins.forget("box", "gone")
    async with opened(tmp_path) as (origins, _):
        assert origins.of("box", "qwen", "qwen") == SavedOrigin("qwen", "loaded", 12.5, "ref-1")
        assert origins.of("box", "mine", "qwen") == SavedOrigin("qwen", "loaded", 3.0)
        others = (("box", "gone", "qwen"), ("box", "mine", "llama"), ("box2", "mine", "qwen"))
        assert [origins.of(*other) for other in others] == [None] * 3


async def test_a_change_is_known_at_once(tmp_path: Path) -> None:
    """Before it is saved. One of an unknown instance is none."""
    async with opened(tmp_path) as (origins, _):
        origins.put("box", "qwen", "qwen", "on-demand", 1.0)
        assert origins.of("box", "qwen", "qwen") == SavedOrigin("qwen", "on-demand", 1.0)
        origins.change("box", "qwen", "loaded")
        assert origins.of("box", "qwen", "qwen") == SavedOrigin("qwen", "loaded", 1.0)
        origins.put("box", "qwen", "llama", "on-demand", 2.0)
        assert origins.of("box", "qwen", "qwen") is None
        origins.forget("box", "qwen")
        origins.forget("box", "qwen")
        origins.change("box", "qwen", "loaded")
        assert origins.on("box") == {}


async def test_changes_are_saved_while_the_gateway_runs(tmp_path: Path) -> None:
    """So that kill -9 loses none but the last. A later change never comes before an earlier one."""
    async with opened(tmp_path) as (origins, database):
        busy = threading.Event()
        holding = asyncio.create_task(database.read(lambda _: busy.wait(10)))
        for number in range(50):
            origins.put("box", "qwen", "qwen", "on-demand", float(number))
            origins.put("box", str(number), "qwen", "loaded", 0.0)
            origins.forget("box", str(number))
            await asyncio.sleep(0)  # a save may begin in between
        busy.set()
        await holding

        async def is_saved() -> None:
            while await saved_in(database) != {"qwen": SavedOrigin("qwen", "on-demand", 49.0)}:
                await asyncio.sleep(0)

        await asyncio.wait_for(is_saved(), 10)


async def test_a_failed_save_is_made_up_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By the next change, with the newer of two values; each failure is one line of the log."""
    async with opened(tmp_path) as (origins, database):
        with closing(sqlite3.connect(tmp_path / "lmgateway.db")) as other:
            other.execute("BEGIN IMMEDIATE")
            origins.put("box", "one", "qwen", "loaded", 1.0)
            origins.put("box", "two", "qwen", "loaded", 1.0)
            origins.remember_settings("qwen", A)
            await failures(database, 1)
            origins.forget("box", "two")
            origins.remember_settings("qwen", B)
            await failures(database, 2)
        assert [origins.of("box", name, "qwen") is not None for name in ("one", "two")] == [True, False]
        assert await saved_in(database) == {}
        origins.remember_settings("llama", A)
    assert len([record for record in caplog.records if "can't be saved" in record.message]) == 2
    async with opened(tmp_path) as (origins, _):
        assert origins.on("box") == {"one": SavedOrigin("qwen", "loaded", 1.0)}
        assert [origins.settings(name) for name in ("qwen", "llama", "other")] == [B, A, None]


async def failures(database: Database, number: int) -> None:
    async with asyncio.timeout(10):
        while database.errors < number:
            await asyncio.sleep(0)


async def test_what_isnt_saved_at_the_end_is_no_error(tmp_path: Path) -> None:
    """The gateway stops all the same."""
    async with opened(tmp_path) as (origins, database):
        origins.put("box", "one", "qwen", "loaded", 1.0)
        await origins.close()
        (tmp_path / "lmgateway.db").unlink()
        origins.put("box", "two", "qwen", "loaded", 1.0)
        await origins.close()
        assert database.errors
        assert set(origins.on("box")) == {"one", "two"}


async def test_the_settings_of_the_newest_loads_are_remembered(tmp_path: Path) -> None:
    async with opened(tmp_path, max_settings=2) as (origins, _):
        for model in ("a", "b", "a", "c"):
            origins.remember_settings(model, A)
        assert [origins.settings(model) for model in ("a", "b", "c")] == [A, None, A]
    async with opened(tmp_path, max_settings=2) as (origins, _):
        origins.remember_settings("d", B)
        assert [origins.settings(model) for model in ("a", "b", "c", "d")] == [None, None, A, B]


async def test_instances_that_nobody_forgets_have_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The instance that was loaded longest ago is forgotten first."""
    monkeypatch.setattr(module, "MAX_INSTANCES", 2)
    async with opened(tmp_path) as (origins, _):
        for name in ("a", "b", "a", "c"):
            origins.put("box", name, "qwen", "loaded", 1.0)
    async with opened(tmp_path) as (origins, _):
        assert set(origins.on("box")) == {"a", "c"}


async def test_another_instance_of_the_same_name_is_not_the_gateways(tmp_path: Path) -> None:
    """LM Studio's reference tells them apart. If either is unknown, the name and the model decide."""
    async with opened(tmp_path) as (origins, _):
        for name, reference in {"same": "1", "other": "2", "gone": "3", "untold": "4", "new": None}.items():
            origins.put("box", name, "qwen", "loaded", 1.0, reference)
        origins.put("box2", "gone", "qwen", "loaded", 1.0, "9")
        references = {"same": "1", "other": "x", "untold": None, "new": "5", "nobody's": "6"}
        assert sorted(origins.verify("box", references)) == ["gone", "other"]
    async with opened(tmp_path) as (origins, _):
        assert {name: row.reference for name, row in origins.on("box").items()} == {
            "same": "1",
            "untold": "4",
            "new": "5",
        }
        assert set(origins.on("box2")) == {"gone"}


async def test_a_list_from_before_a_load_says_nothing_about_it(tmp_path: Path) -> None:
    """LM Studio made it before the instance was there, or while another one had its name."""
    async with opened(tmp_path) as (origins, _):
        for name in ("replaced", "gone"):
            origins.put("box", name, "qwen", "loaded", 1.0, "old")
        before = origins.on("box")
        origins.put("box", "replaced", "qwen", "on-demand", 1.0, "new")
        origins.put("box", "added", "qwen", "on-demand", 1.0)
        assert origins.verify("box", {"replaced": "old"}, before) == ("gone",)
        assert {name: row.reference for name, row in origins.on("box").items()} == {
            "replaced": "new",
            "added": None,
        }


@asynccontextmanager
async def box_of(base_url: str) -> AsyncIterator[Box]:
    config = LMStudio(base_url=URL(base_url), connect_pause_ms=1)
    async with Fleet({"lmstudio": config}, Activity(Events(), Metrics())) as fleet:
        yield fleet.boxes.main


async def test_lm_studio_is_asked_which_instances_are_still_there(tmp_path: Path) -> None:
    """Of a restart of LM Studio nothing else may tell: the same model may be loaded again by hand."""
    async with running_studio(Simulator(pace=Pace.instant())) as studio:
        async with opened(tmp_path) as (origins, _), box_of(studio.base_url) as box:
            for name in (LLM, "mine"):
                request = LoadRequest(model_key=LLM, instance_id=name)
                loaded = await box.loads.load(request, box.sdk, {})
                origins.put(box.name, name, LLM, "on-demand", loaded.load_seconds, loaded.reference)
            assert await origins.check(box) == ()
        await studio.stop()
        await studio.start(Simulator(pace=Pace.instant()))
        studio.simulator.load(LLM)
        async with opened(tmp_path) as (origins, _), box_of(studio.base_url) as box:
            assert origins.of(box.name, LLM, LLM) is not None
            assert sorted(await origins.check(box)) == ["mine", LLM]
            assert origins.of(box.name, LLM, LLM) is None


async def test_lm_studio_that_cant_be_asked_changes_nothing(tmp_path: Path) -> None:
    """And it isn't asked without a need."""
    async with running_studio(Simulator(pace=Pace.instant())) as studio:
        base_url = studio.base_url
    async with opened(tmp_path) as (origins, _), box_of(base_url) as box:
        assert await origins.check(box) == ()
        origins.put(box.name, LLM, LLM, "loaded", 1.0, "1")
        with pytest.raises(UpstreamUnavailable):
            await origins.check(box)
        assert origins.of(box.name, LLM, LLM) is not None


async def test_a_load_during_the_check_is_not_judged_by_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as (origins, _):
        origins.put("box", "old", "qwen", "loaded", 1.0, "1")

        async def references() -> dict[str, str | None]:
            origins.put("box", "new", "qwen", "loaded", 1.0, "2")
            return {"old": "1"}

        box: Any = SimpleNamespace(name="box", sdk=SimpleNamespace(references=references))
        assert await origins.check(box) == ()
        assert set(origins.on("box")) == {"old", "new"}
