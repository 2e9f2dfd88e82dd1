"""An LM Studio of which only the log's channel is there, for a test that chooses every frame."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web
from yarl import URL

from tests.support.waiting import PATIENCE_SECONDS

MILLISECONDS = 1_785_332_483_000


@dataclass
class LogServer:
    """`received` has a client's frames, `opened` a socket for each channel that a client opened."""

    verdict: object = field(default_factory=lambda: {"success": True})
    received: list[Any] = field(default_factory=list)
    opened: asyncio.Queue[web.WebSocketResponse] = field(default_factory=asyncio.Queue)
    port: int = 0
    connections: int = 0
    open: int = 0

    async def connect(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.connections += 1
        self.open += 1
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self.received.append(json.loads(message.data))
                    if "authVersion" in self.received[-1]:
                        await socket.send_json(self.verdict)
                    elif self.received[-1].get("type") == "channelCreate":
                        self.opened.put_nowait(socket)
        finally:
            self.open -= 1
        return socket

    @property
    def base_url(self) -> URL:
        return URL(f"http://127.0.0.1:{self.port}")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Listen, on the same port as before if it has one. At the end every connection is gone."""
        app = web.Application()
        app.router.add_get("/diagnostics", self.connect)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.01, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self.port, reuse_address=True).start()
            self.port = runner.addresses[0][1]
            yield
        finally:
            await runner.cleanup()

    async def channel(self) -> web.WebSocketResponse:
        return await asyncio.wait_for(self.opened.get(), PATIENCE_SECONDS)


def record(content: object, kind: object = "server.log", **data: object) -> dict[str, object]:
    """A frame of the log's channel with one record."""
    fields = {"type": kind, "content": content, "level": "info", **data}
    log = {"timestamp": MILLISECONDS, "data": fields}
    return {"type": "channelSend", "channelId": 1, "message": {"type": "log", "log": log}}
