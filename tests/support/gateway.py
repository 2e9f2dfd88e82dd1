"""The real gateway on a real socket, inside the test's event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import aiohttp
import msgspec
from aiohttp import web
from yarl import URL

from lmgateway.app import create_app
from lmgateway.config import Config, decode_custom
from lmgateway.server.connection_limits import ConnectionLimits
from lmgateway.server.listening import listening
from lmgateway.server.sockets import bind
from lmgateway.server.tls import server_context


@dataclass
class Gateway:
    app: web.Application
    port: int
    client: aiohttp.ClientSession
    limits: ConnectionLimits

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def url(self, raw_target: str) -> URL:
        """A URL whose target is sent byte for byte."""
        return URL(self.base_url + raw_target, encoded=True)


@asynccontextmanager
async def running_gateway(
    tables: dict[str, object], port: int = 0, *, host: str = "127.0.0.1", **seconds: float
) -> AsyncIterator[Gateway]:
    """Run a gateway with this configuration, given as TOML's tables. `seconds` are ConnectionLimits' own."""
    config = msgspec.convert(tables, Config, dec_hook=decode_custom)
    app, limits = create_app(config), ConnectionLimits(config, **seconds)
    async with AsyncExitStack() as stack:
        tls = server_context(config.server)
        port = await stack.enter_async_context(listening(app, bind(host, port), limits=limits, tls=tls))
        client = await stack.enter_async_context(
            aiohttp.ClientSession(auto_decompress=False, skip_auto_headers=("User-Agent",))
        )
        yield Gateway(app, port, client, limits)
