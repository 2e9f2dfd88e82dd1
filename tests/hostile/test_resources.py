"""Promises about many connections and their file descriptors."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import pytest

from tests.hostile.conftest import KEY
from tests.hostile.wire import GET, HEALTH
from tests.support.process import Process, serving
from tests.support.raw_client import raw_client
from tests.support.upstream import ScriptedUpstream

LAN = "127.0.0.2"


@pytest.fixture(autouse=True)
def many_descriptors() -> None:
    """The test process has the other end of every connection."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.fixture
async def served(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[tuple[Process, int]]:
    environ = {"GATEWAY_API_KEY": KEY, "LMSTUDIO_BASE_URL": upstream.base_url, "LIMIT_HEAD": "1500"}
    async with serving(tmp_path, **environ) as process:
        yield process


async def is_served(port: int) -> None:
    async with raw_client(port, source=LAN) as client:
        await client.send(GET)
        assert b" 200 " in await client.head()


async def descriptors_are_back(gateway: Process, before: int) -> None:
    process = psutil.Process(gateway.pid)
    async with asyncio.timeout(10):
        while process.num_fds() > before + 5:
            await asyncio.sleep(0.05)


@pytest.mark.long
async def test_a_thousand_idle_connections_of_one_address_exclude_no_other(
    served: tuple[Process, int],
) -> None:
    gateway, port = served
    await is_served(port)
    before = psutil.Process(gateway.pid).num_fds()
    async with AsyncExitStack() as stack:
        for _ in range(1000):
            await stack.enter_async_context(raw_client(port))
        await asyncio.wait_for(is_served(port), 5)
        await descriptors_are_back(gateway, before)


@pytest.mark.long
async def test_five_hundred_half_requests_that_are_reset_exclude_no_other(
    served: tuple[Process, int],
) -> None:
    gateway, port = served
    await is_served(port)
    before = psutil.Process(gateway.pid).num_fds()
    async with AsyncExitStack() as stack:
        for _ in range(500):
            client = await stack.enter_async_context(raw_client(port))
            await client.send(b"GET /v1/mod")
        await asyncio.wait_for(is_served(port), 5)
    await descriptors_are_back(gateway, before)


@pytest.mark.long
async def test_a_thousand_times_connecting_and_leaving_leaks_nothing(served: tuple[Process, int]) -> None:
    gateway, port = served
    await is_served(port)
    before = psutil.Process(gateway.pid).num_fds()
    for _ in range(1000):
        async with raw_client(port):
            pass
    await descriptors_are_back(gateway, before)
    await is_served(port)


@pytest.mark.long
async def test_a_gateway_without_descriptors_serves_its_connections_and_recovers(
    served: tuple[Process, int],
) -> None:
    gateway, port = served
    await is_served(port)
    process = psutil.Process(gateway.pid)
    before = process.num_fds()
    async with AsyncExitStack() as stack:
        early = await stack.enter_async_context(raw_client(port))
        await early.send(HEALTH)
        assert b" 200 " in await early.head()
        soft, hard = resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (process.num_fds() + 15, hard))
        for _ in range(60):
            late = await stack.enter_async_context(raw_client(port))
            late.writer.write(HEALTH)
        used = process.cpu_times()
        await early.send(HEALTH)
        assert b" 200 " in await early.head()
        await gateway.says("no file descriptors are left")
        await asyncio.sleep(1)
        spent = process.cpu_times()
        assert spent.user + spent.system - used.user - used.system < 0.5  # it doesn't spin
        resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (soft, hard))
    await gateway.says("there are file descriptors again")
    await descriptors_are_back(gateway, before)
    await asyncio.wait_for(is_served(port), 5)
