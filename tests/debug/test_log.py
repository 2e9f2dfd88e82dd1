"""LM Studio's log on /debug/stream, followed as configured."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from lmgateway.simulator import Pace, Simulator, Switches
from tests.conftest import StartGateway
from tests.debug.conftest import LLM
from tests.support.home import QUICK, Home
from tests.support.studio import running_studio
from tests.support.upstream import ScriptedUpstream


@pytest.mark.parametrize("folder", ["logs", None])
async def test_log_events_are_published_beside_the_request(
    start_gateway: StartGateway, tmp_path: Path, folder: str | None
) -> None:
    """A chat's sampling parameters, prompt progress, caches and token counts, from files or over the SDK."""
    simulator = Simulator(pace=Pace.instant(), log_dir=tmp_path / "logs", switches=Switches(old_log=True))
    simulator.load(LLM)
    async with running_studio(simulator) as studio:
        log_dir = str(tmp_path / folder) if folder else ""
        lmstudio = {**QUICK, "log_dir": log_dir, "log_monitoring": True}
        home = Home(await start_gateway(studio.base_url, lmstudio=lmstudio), studio)
        async with home.events() as events:
            wanted = {
                *("debug_log", "lmstudio_chat_start", "lmstudio_sampling_params", "lmstudio_token_info"),
                *("lmstudio_prompt_progress", "lmstudio_cache_stats", "lmstudio_processing_start"),
            }
            body = {"messages": [{"role": "user", "content": "hi"}]}
            async with asyncio.timeout(20):
                # The follower begins at the log's end, whenever it first looks.
                while wanted:
                    async with home.gateway.client.post(home.gateway.url("/v1/chat/completions"), json=body):
                        pass
                    with suppress(TimeoutError):
                        async with asyncio.timeout(1):
                            while wanted:
                                wanted.discard((await events.get())[0])


@pytest.mark.parametrize("address", ["{}/studio", "https://127.0.0.1:9"])
async def test_an_address_that_the_sdk_cant_use(
    start_gateway: StartGateway, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture, address: str
) -> None:
    """Without a folder the gateway says once what the log needs, and connects to nothing for it."""
    gateway = await start_gateway(address.format(upstream.base_url), lmstudio={"log_monitoring": True})
    async with gateway.client.get(gateway.url("/health")) as response:
        assert response.status == 200
    assert caplog.text.count("LM Studio's log can't be followed: set lmstudio.log_dir") == 1
    assert upstream.received == []
