"""The end of listening: no client is left with a connection that nobody serves."""

from __future__ import annotations

import asyncio
import socket

import pytest
from aiohttp import web

from lmgateway.config import Config, Server
from lmgateway.server.connection_limits import ConnectionLimits
from lmgateway.server.listening import listening
from lmgateway.server.sockets import bind
from tests.support.waiting import PATIENCE_SECONDS


# The event loop accepts a connection in one turn, and hands it to its server in a later one.
@pytest.mark.parametrize("turns", range(5))
async def test_a_connection_of_the_last_moment_is_closed(turns: int) -> None:
    limits = ConnectionLimits(Config(server=Server(drain_seconds=0)))
    async with listening(web.Application(), bind("127.0.0.1", 0), limits=limits) as port:
        client = socket.create_connection(("127.0.0.1", port))
        for _ in range(turns):
            await asyncio.sleep(0)
    with client:
        client.setblocking(False)
        try:
            end = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 1), PATIENCE_SECONDS)
        except ConnectionResetError:
            return
        assert end == b""
