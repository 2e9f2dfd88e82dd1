"""What takes the place of web.Application's own dispatch, and of its task for each request."""

from __future__ import annotations

import asyncio
import sys

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from lmgateway.aiohttp_private.server_protocol import ServerProtocol
from lmgateway.aiohttp_private.server_runner import MAX_CACHED_PATH, MAX_FOUND, Dispatcher, ProtocolRunner
from tests.support.raw_client import raw_client


async def name(request: web.Request) -> web.Response:
    return web.Response(text=request.match_info["name"])


def dispatcher() -> Dispatcher:
    app = web.Application()
    app.router.add_get("/{name}", name)
    return Dispatcher(app)


async def answered(dispatcher: Dispatcher, method: str, path: str) -> str | None:
    return (await dispatcher.handle(make_mocked_request(method, path))).text  # type: ignore[attr-defined]


async def test_each_path_has_its_own_match() -> None:
    """The first time, from the cache, and with a query."""
    found = dispatcher()
    for path in ("/a", "/b", "/a?x=1", "/a", "/b?x=%2F", "/%61"):
        assert await answered(found, "GET", path) == ("b" if "/b" in path else "a")


async def test_each_method_has_its_own_match() -> None:
    found = dispatcher()
    assert await answered(found, "GET", "/a") == "a"
    for _ in range(2):
        with pytest.raises(web.HTTPMethodNotAllowed):
            await answered(found, "POST", "/a")
        with pytest.raises(web.HTTPNotFound):
            await answered(found, "GET", "/a/b")


async def test_paths_that_clients_choose_take_no_memory() -> None:
    """Neither many of them, nor long ones."""
    found = dispatcher()
    for count in range(MAX_FOUND + 10):
        assert await answered(found, "GET", f"/{count}") == str(count)
    assert 0 < len(found.found) <= MAX_FOUND
    long = "x" * MAX_CACHED_PATH
    assert await answered(found, "GET", f"/{long}") == long
    assert all(len(path) <= MAX_CACHED_PATH for _, path in found.found)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="aiohttp begins the handler's task at once")
async def test_a_handler_runs_in_its_connections_task() -> None:
    """A task for each request takes 3 % of its processor time."""
    tasks = []

    async def remember(request: web.Request) -> web.Response:
        assert asyncio.current_task() is request.task
        tasks.append(request.task)
        return web.Response()

    app = web.Application()
    app.router.add_get("/", remember)
    runner = ProtocolRunner(app, make_protocol=ServerProtocol, on_expect=lambda request: None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with raw_client(runner.addresses[0][1]) as client:
        for _ in range(2):
            await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    await runner.cleanup()
    assert len(tasks) == 2
    assert tasks[0] is tasks[1]
