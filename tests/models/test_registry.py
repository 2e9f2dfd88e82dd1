"""The registry of active models, with a storage that a test can delay or fill."""

from __future__ import annotations

import asyncio

import pytest

from lmgateway.errors import StateNotSaved
from lmgateway.models.active import ActiveModelRegistry
from lmgateway.observe.activity import Activity
from lmgateway.observe.event_stream import Events
from lmgateway.observe.prometheus import Metrics
from lmgateway.schema.models import ActiveModel, ActiveModels

MODEL = ActiveModel(model_key="m")


class Storage:
    """Saves when `may_save` is set; `saved` is what a restart would load."""

    def __init__(self) -> None:
        self.saved = ActiveModels()
        self.saving = asyncio.Event()
        self.may_save = asyncio.Event()
        self.is_full = False

    async def load(self) -> ActiveModels:
        return self.saved

    async def save(self, active: ActiveModels) -> None:
        self.saving.set()
        await self.may_save.wait()
        if self.is_full:
            raise StateNotSaved("The disk is full.")
        self.saved = active


def registry(storage: Storage) -> ActiveModelRegistry:
    return ActiveModelRegistry(storage, Activity(Events(), Metrics()))


async def test_a_cancelled_change_is_completed() -> None:
    """If the client disconnects during the save, the active and the saved models are the same."""
    storage = Storage()
    models = registry(storage)
    asking = asyncio.create_task(models.activate("llm", MODEL))
    await storage.saving.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert models.current == ActiveModels()
    storage.may_save.set()
    # The next change begins after that one was completed.
    await models.activate("embedding", MODEL)
    assert models.current == storage.saved == ActiveModels(active_model=MODEL, active_embedding_model=MODEL)


async def test_a_change_that_cant_be_saved_isnt_made() -> None:
    """A restart would undo it silently."""
    storage = Storage()
    storage.may_save.set()
    models = registry(storage)
    await models.activate("llm", MODEL)
    storage.is_full = True
    for change in (models.deactivate(), models.activate("llm", ActiveModel(model_key="other"))):
        with pytest.raises(StateNotSaved):
            await change
    assert models.current == storage.saved == ActiveModels(active_model=MODEL)
