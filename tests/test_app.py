"""The wiring of an application: what it owns, and when that connects."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from lmgateway.boxes.log.folder import LogFolder
from lmgateway.observe import vitals
from lmgateway.schema.models import ActivateRequest
from lmgateway.simulator import Pace, Simulator
from lmgateway.web.state import MODELS
from tests.support.gateway import running_gateway
from tests.support.studio import running_studio
from tests.support.upstream import scripted_upstream
from tests.support.waiting import until


def tables_of(base_url: str, state_dir: Path, **lmstudio: object) -> dict[str, object]:
    return {"lmstudio": {"base_url": base_url, **lmstudio}, "server": {"state_dir": str(state_dir)}}


async def test_two_gateways_in_one_process_share_nothing(tmp_path: Path) -> None:
    """Each asks its own LM Studio, counts its own requests and has its own active models."""
    async with AsyncExitStack() as stack:
        upstreams = [await stack.enter_async_context(scripted_upstream()) for _ in range(2)]
        first, second = [
            await stack.enter_async_context(running_gateway(tables_of(one.base_url, tmp_path / str(number))))
            for number, one in enumerate(upstreams)
        ]
        # Neither connects when it starts: LM Studio needn't be there.
        assert [upstream.connections for upstream in upstreams] == [0, 0]
        await first.app[MODELS].activate(ActivateRequest(model_key="m", type="llm"))
        async with first.client.get(first.url("/v1/models")) as response:
            assert response.status == 200
        assert [len(upstream.received) for upstream in upstreams] == [1, 0]
        for gateway, active, total in ((first, "m", 1), (second, None, 0)):
            async with gateway.client.get(gateway.url("/debug/status")) as response:
                status = await response.json()
            assert (status["activeModel"] and status["activeModel"]["modelKey"]) == active
            assert status["totalRequests"] == total


async def test_nothing_of_a_box_outlives_the_gateway(tmp_path: Path) -> None:
    """Its SDK connection is closed and its log is no longer followed."""

    def is_followed() -> bool:
        return any(thread.name == "lmstudio-log" for thread in threading.enumerate())

    async with running_studio(Simulator(pace=Pace.instant())) as studio:
        tables = tables_of(studio.base_url, tmp_path / "state", log_dir=str(tmp_path), log_monitoring=True)
        async with running_gateway(tables) as gateway:
            async with gateway.client.get(gateway.url("/admin/models")) as response:
                assert response.status == 200
            await until(is_followed)
            assert studio.sockets > 0
        await until(lambda: studio.sockets == 0)
        await until(lambda: not is_followed())


async def test_a_task_that_fails_is_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each of those that the gateway can do without for a second; its failure is logged."""
    runs: Counter[str] = Counter()

    def failing_once(name: str) -> Callable[..., Coroutine[Any, Any, None]]:
        async def watch(*_: object) -> None:
            runs[name] += 1
            if runs[name] == 1:
                raise RuntimeError(f"{name} has a fault")
            await asyncio.Event().wait()

        return watch

    names = ("watch_lag", "watch_descriptors", "collect_garbage")
    for name in names:
        monkeypatch.setattr(vitals, name, failing_once(name))
    wait = LogFolder.wait

    def wait_or_fail(folder: LogFolder) -> object:
        runs["log"] += 1
        if runs["log"] == 1:
            raise RuntimeError("log has a fault")
        return wait(folder)

    monkeypatch.setattr(LogFolder, "wait", wait_or_fail)
    tables = tables_of("http://127.0.0.1:9", tmp_path / "state", log_dir=str(tmp_path), log_monitoring=True)
    async with running_gateway(tables):
        await until(lambda: all(runs[name] >= 2 for name in (*names, "log")))
    for name in (*names, "log"):
        assert f"{name} has a fault" in caplog.text
    assert caplog.text.count("is run again in 1 s") == 4
