"""Loads beside each other, with an LM Studio that answers as a test wants it."""

from __future__ import annotations

import asyncio
from typing import Any

from lmgateway.boxes.loads import Loads
from lmgateway.errors import StudioFailed
from lmgateway.observe.activity import Activity
from lmgateway.observe.event_stream import Events
from lmgateway.observe.prometheus import Metrics
from lmgateway.schema.models import InstanceRequest, LoadRequest
from tests.support.waiting import until

READY = "ready before LM Studio read the cancel"


class Client:
    """Of two loads one is ready when they are to be taken back, which no real server could be timed for."""

    def __init__(self) -> None:
        self.loading = 0

    async def downloaded(self) -> tuple[()]:
        return ()

    async def loaded(self) -> tuple[()]:
        return ()

    async def load_config(self, *_: str) -> dict[str, object]:
        return {}

    async def load(self, *wanted: Any, cancelled: asyncio.Event, **_: Any) -> str:
        self.loading += 1
        await cancelled.wait()
        if READY in wanted:
            return READY
        raise StudioFailed("It was taken back.")


async def test_a_cancel_names_what_it_cancelled() -> None:
    """And not what is in memory all the same."""
    client = Client()
    loads = Loads(client, Activity(Events(), Metrics()))  # type: ignore[arg-type]
    names = (READY, "taken back")
    requests = [LoadRequest(model_key="m", instance_id=name) for name in names]
    asked = [asyncio.create_task(loads.load(request, {})) for request in requests]
    await until(lambda: client.loading == len(names))
    assert await loads.cancel(InstanceRequest(model_key="m")) == ["taken back"]
    await asyncio.gather(*asked, return_exceptions=True)
