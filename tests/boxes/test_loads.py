"""Loads beside each other, with an LM Studio that answers as a test wants it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lmgateway.boxes.inventory import NewInstance
from lmgateway.boxes.loads import MAX_LOADS, Loads
from lmgateway.boxes.origin import Origin
from lmgateway.config import LMStudio
from lmgateway.errors import LoadCancelled, Overloaded, StudioFailed
from lmgateway.observe.activity import Activity
from lmgateway.observe.event_stream import Events
from lmgateway.observe.prometheus import Metrics
from lmgateway.schema.models import InstanceRequest, LoadRequest
from tests.support.waiting import until

READY = "ready before LM Studio read the cancel"


class Client:
    """One of two loads is ready before its cancel, which no real server could be timed for."""

    origin = Origin.of(LMStudio())

    def __init__(self) -> None:
        self.loading = 0

    async def downloaded(self) -> tuple[()]:
        return ()

    async def loaded(self) -> tuple[()]:
        return ()

    async def load_config(self, *_: str) -> dict[str, object]:
        return {}

    async def load(self, *arguments: Any, cancelled: asyncio.Event, **_: Any) -> NewInstance:
        self.loading += 1
        await cancelled.wait()
        if READY in arguments:
            return NewInstance(READY)
        raise StudioFailed("It was cancelled.")


async def test_a_cancel_names_what_it_cancelled() -> None:
    """And not what was loaded before the cancel."""
    client = Client()
    loads = Loads("lmstudio", Activity(Events(), Metrics()))
    names = (READY, "cancelled")
    requests = [LoadRequest(model_key="m", instance_id=name) for name in names]
    asked = [
        asyncio.create_task(loads.load(request, client, {}))  # type: ignore[arg-type]
        for request in requests
    ]
    await until(lambda: client.loading == len(names))
    assert await loads.cancel(InstanceRequest(model_key="m")) == ["cancelled"]
    await asyncio.gather(*asked, return_exceptions=True)


async def test_loads_in_progress_have_a_limit() -> None:
    """A load outlives its caller, so no limit on requests bounds their number. Joining one is allowed."""
    client: Any = Client()
    loads = Loads("lmstudio", Activity(Events(), Metrics()))
    requests = [LoadRequest(model_key="m", instance_id=str(number)) for number in range(MAX_LOADS)]
    asked = [asyncio.create_task(loads.load(request, client, {})) for request in requests]
    await until(lambda: client.loading == MAX_LOADS)
    with pytest.raises(Overloaded):
        await loads.load(LoadRequest(model_key="m", instance_id="one more"), client, {})
    joined = asyncio.create_task(loads.load(requests[0], client, {}))
    await loads.cancel(InstanceRequest(model_key="m"))
    ended = await asyncio.gather(*asked, joined, return_exceptions=True)
    assert {type(one) for one in ended} == {LoadCancelled}
