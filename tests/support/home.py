"""A gateway in front of a simulator, with its admin API as methods."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.gateway import Gateway
from tests.support.studio import Studio
from tests.support.waiting import PATIENCE_SECONDS

QUICK = {"connect_pause_ms": 20}


@dataclass
class Home:
    gateway: Gateway
    studio: Studio

    async def post(self, action: str, **body: object) -> tuple[int, Any]:
        url = self.gateway.url(f"/admin/models/{action}")
        async with self.gateway.client.post(url, json=body) as response:
            return response.status, await response.json()

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.gateway.client.get(self.gateway.url(path)) as response:
            return response.status, await response.json()

    @asynccontextmanager
    async def events(self) -> AsyncIterator[asyncio.Queue[tuple[str, dict[str, Any]]]]:
        """Everything on /debug/stream from now on."""
        queue: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()
        async with self.gateway.client.get(self.gateway.url("/debug/stream")) as response:

            async def read() -> None:
                name = ""
                async for line in response.content:
                    field, _, value = line.decode().strip().partition(": ")
                    if field == "event":
                        name = value
                    elif field == "data":
                        queue.put_nowait((name, json.loads(value)))

            reading = asyncio.create_task(read())
            assert (await asyncio.wait_for(queue.get(), PATIENCE_SECONDS))[0] == "connected"
            yield queue
            reading.cancel()
