"""The first requests after a start, of which the gateway doesn't know yet on what they run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from lmgateway.simulator import Simulator, Switches
from lmgateway.web.state import SCHEDULER
from tests.conftest import StartGateway
from tests.support.gate import Gate
from tests.support.studio import Studio, running_studio
from tests.support.waiting import until

CHAT, LLM = "/v1/chat/completions", "qwen2.5-7b-instruct"


@pytest.fixture
async def studio() -> AsyncIterator[Studio]:
    simulator = Simulator(pace=Gate(holds="prompt"), switches=Switches(unified_kv_cache=True))
    simulator.load(LLM)
    async with running_studio(simulator) as studio:
        yield studio


async def test_prompts_of_a_gateway_that_has_just_started_do_not_overfill_the_context(
    start_gateway: StartGateway, studio: Studio
) -> None:
    """The first one makes the gateway read the load config, and counts by then."""
    gateway = await start_gateway(studio.base_url)
    line = gateway.app[SCHEDULER].line
    # 3,000 tokens by the first guess; LM Studio's context has 4,096.
    text = {"role": "user", "content": "word " * 1_800}
    body = {"model": LLM, "messages": [text], "max_tokens": 4}

    async def ask() -> int:
        async with gateway.client.post(gateway.url(CHAT), json=body) as response:
            return response.status

    first = asyncio.create_task(ask())
    await until(lambda: any(one.context for one in line.machines.instances.values()))
    second = asyncio.create_task(ask())
    await until(lambda: len(line.running) + len(line.waiting) == 2)
    assert [one.reason for one in line.waiting] == ["context"]
    gate = studio.simulator.pace
    assert isinstance(gate, Gate)
    gate.opened.set()
    assert [await first, await second] == [200, 200]
