"""The wiring of an application: what it owns, and when that connects."""

from __future__ import annotations

import threading
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import msgspec

from lmgateway.app import create_app
from lmgateway.config import Config, decode_custom
from lmgateway.server.listening import listening
from lmgateway.server.sockets import bind
from lmgateway.simulator import Pace, Simulator
from tests.support.gateway import running_gateway
from tests.support.studio import running_studio
from tests.support.upstream import scripted_upstream
from tests.support.waiting import until


def configured(base_url: str, state_dir: Path) -> Config:
    tables = {"lmstudio": {"base_url": base_url}, "server": {"state_dir": str(state_dir)}}
    return msgspec.convert(tables, Config, dec_hook=decode_custom)


async def test_two_gateways_in_one_process_share_nothing(tmp_path: Path) -> None:
    """Each asks its own LM Studio, counts its own requests and has its own active models."""
    async with AsyncExitStack() as stack:
        upstreams = [await stack.enter_async_context(scripted_upstream()) for _ in range(2)]
        apps = [
            create_app(configured(upstream.base_url, tmp_path / str(number)))
            for number, upstream in enumerate(upstreams)
        ]
        ports = [await stack.enter_async_context(listening(app, bind("127.0.0.1", 0))) for app in apps]
        # Neither when it was made nor when it was started: LM Studio needn't be there.
        assert [upstream.connections for upstream in upstreams] == [0, 0]
        client = await stack.enter_async_context(aiohttp.ClientSession())
        first, second = (f"http://127.0.0.1:{port}" for port in ports)
        body = {"modelKey": "m", "type": "llm"}
        async with client.post(f"{first}/admin/models/activate", json=body) as response:
            assert response.status == 200
        async with client.get(f"{first}/v1/models") as response:
            assert response.status == 200
        assert [len(upstream.received) for upstream in upstreams] == [1, 0]
        for base, active, total in ((first, "m", 1), (second, None, 0)):
            async with client.get(f"{base}/debug/status") as response:
                status = await response.json()
            assert (status["activeModel"] and status["activeModel"]["modelKey"]) == active
            assert status["totalRequests"] == total


async def test_nothing_of_a_box_outlives_the_gateway(tmp_path: Path) -> None:
    """Its SDK connection is closed and its log is no longer followed."""

    def is_followed() -> bool:
        return any(thread.name == "lmstudio-log" for thread in threading.enumerate())

    async with running_studio(Simulator(pace=Pace.instant())) as studio:
        lmstudio = {"base_url": studio.base_url, "log_dir": str(tmp_path), "log_monitoring": True}
        tables: dict[str, object] = {
            "lmstudio": lmstudio,
            "server": {"state_dir": str(tmp_path / "state")},
        }
        async with running_gateway(tables) as gateway:
            async with gateway.client.get(gateway.url("/admin/models")) as response:
                assert response.status == 200
            await until(is_followed)
            assert studio.sockets > 0
        await until(lambda: studio.sockets == 0)
        await until(lambda: not is_followed())
