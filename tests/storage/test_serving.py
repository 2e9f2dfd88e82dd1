"""The database does not affect requests, except those that change persistent state."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from lmgateway.app import create_app
from lmgateway.config import Config, Server
from lmgateway.errors import ConfigError
from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.upstream import ScriptedUpstream, answer


async def activate(gateway: Gateway, name: str) -> tuple[int, str]:
    body = {"modelKey": name, "type": "llm"}
    async with gateway.client.post(gateway.url("/admin/models/activate"), json=body) as response:
        return response.status, await response.text()


async def active(gateway: Gateway) -> str | None:
    async with gateway.client.get(gateway.url("/admin/models/active")) as response:
        model = (await response.json())["activeModel"]
        return model and str(model["modelKey"])


async def failed_writes(gateway: Gateway) -> str:
    async with gateway.client.get(gateway.url("/metrics")) as response:
        (number,) = re.findall(r"^lmgateway_storage_errors_total (\S+)$", await response.text(), re.MULTILINE)
        return str(number)


async def test_a_slow_write_delays_no_other_request(
    start_gateway: StartGateway, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """While a change waits for the disk, the event loop serves."""
    upstream.script = answer()
    gateway = await start_gateway(upstream.base_url)
    with closing(sqlite3.connect(tmp_path / "state" / "lmgateway.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        activating = asyncio.create_task(activate(gateway, "m"))
        for path in ("/health", "/v1/models") * 20:
            async with gateway.client.get(gateway.url(path)) as response:
                assert response.status == 200
        assert await active(gateway) is None
        assert not activating.done()
    assert (await asyncio.wait_for(activating, 10))[0] == 200
    assert await active(gateway) == "m"


async def test_a_failed_save_is_an_error_and_counted(
    start_gateway: StartGateway, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """The admin call fails clearly, the active model stays, and proxying continues."""
    upstream.script = answer()
    gateway = await start_gateway(upstream.base_url)
    await activate(gateway, "before")
    assert await failed_writes(gateway) == "0.0"
    (tmp_path / "state" / "lmgateway.db").unlink()
    status, text = await activate(gateway, "after")
    assert (status, "server.state_dir" in text) == (500, True)
    assert await failed_writes(gateway) == "1.0"
    assert await active(gateway) == "before"
    async with gateway.client.get(gateway.url("/v1/models")) as response:
        assert response.status == 200


async def test_two_gateways_in_one_process(start_gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """Each has its own connection to the database that they share."""
    first, second = await start_gateway(upstream.base_url), await start_gateway(upstream.base_url)
    for gateway, name in ((first, "a"), (second, "b"), (first, "c")):
        assert (await activate(gateway, name))[0] == 200
    assert (await active(first), await active(second)) == ("c", "b")
    assert await active(await start_gateway(upstream.base_url)) == "c"


async def test_a_start_that_is_refused_leaves_nothing_open(
    start_gateway: StartGateway, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """Neither sockets nor the thread."""
    (tmp_path / "state").mkdir()
    with closing(sqlite3.connect(tmp_path / "state" / "lmgateway.db")) as newer:
        newer.execute("PRAGMA user_version = 999")
    threads, descriptors = threading.active_count(), psutil.Process().num_fds()
    with pytest.raises(ConfigError, match="newer lmgateway"):
        await start_gateway(upstream.base_url)
    assert (threading.active_count(), psutil.Process().num_fds()) == (threads, descriptors)


def test_an_application_that_is_never_started_touches_no_file(tmp_path: Path) -> None:
    """Making it opens nothing."""
    create_app(Config(server=Server(state_dir=str(tmp_path))))
    assert list(tmp_path.iterdir()) == []
