"""A slot of llama.cpp's server, and the figures of a generation."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.engine.conftest import Setup
from tests.engine.test_bytes import CHAT, DONE, EVENT, FIXED, MESSAGES, WITH_USAGE, body_of
from tests.support.raw_client import raw_client
from tests.support.requests import json_post
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.long

LONG_TOKENS, GENERATED_TOKENS = 1500, 100
# The server divides all tokens by the time since the first one, the gateway all but the first one by the time
# between the first and the last that it received; events may be late on a busy machine.
SPEED_TOLERANCE = 0.15


async def is_processing(setup: Setup) -> bool:
    async with setup.gateway.client.get(f"http://127.0.0.1:{setup.port}/slots") as response:
        (slot,) = await response.json()
        return bool(slot["is_processing"])


async def generated_tokens(setup: Setup) -> int:
    async with setup.gateway.client.get(f"http://127.0.0.1:{setup.port}/metrics") as response:
        lines = (await response.text()).splitlines()
    (line,) = [line for line in lines if line.startswith("llamacpp:tokens_predicted_total ")]
    return int(float(line.split()[1]))


async def test_hanging_up_frees_the_slot(setup: Setup) -> None:
    """A client that leaves in mid-stream doesn't keep the engine busy."""
    body = body_of(MESSAGES, {**FIXED, "max_tokens": LONG_TOKENS}, {"stream": True})
    async with raw_client(setup.gateway.port) as client:
        await client.send(json_post(CHAT.encode(), body))
        answer = await client.answer_head()
        async for piece in client.pieces(answer):
            assert piece
            break
        assert await is_processing(setup)
        client.hang_up()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await is_processing(setup):
            await asyncio.sleep(0.01)
    assert 0 < await generated_tokens(setup) < LONG_TOKENS


async def test_cancelling_frees_the_slot(setup: Setup) -> None:
    """DELETE /debug/requests/{id} does the same."""
    body = body_of(MESSAGES, {**FIXED, "max_tokens": LONG_TOKENS}, {"stream": True})
    async with raw_client(setup.gateway.port) as client:
        await client.send(json_post(CHAT.encode(), body))
        answer = await client.answer_head()
        assert await is_processing(setup)
        request = setup.gateway.url(f"/debug/requests/{answer.one('X-Request-Id')}")
        async with setup.gateway.client.delete(request) as response:
            assert response.status == 200
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await is_processing(setup):
                await asyncio.sleep(0.01)
    assert await generated_tokens(setup) < LONG_TOKENS


async def last_request(setup: Setup) -> dict[str, Any]:
    async with setup.gateway.client.get(setup.gateway.url("/debug/requests")) as response:
        return (await response.json())["recent"][-1]  # type: ignore[no-any-return]


@pytest.mark.parametrize("is_stream", [True, False])
async def test_figures_are_the_engines(setup: Setup, is_stream: bool) -> None:
    """Usage in /debug/requests is the engine's own, and so is the speed, nearly."""
    options = WITH_USAGE if is_stream else {}
    answer = await setup.ask(CHAT, body_of(MESSAGES, {**FIXED, "max_tokens": GENERATED_TOKENS}, options))
    last = answer.body.removesuffix(DONE).split(EVENT)[-1]
    data = json.loads(last)
    usage, timings = data["usage"], data["timings"]
    request = await last_request(setup)
    assert request["tokenUsage"] == {
        "promptTokens": usage["prompt_tokens"],
        "completionTokens": usage["completion_tokens"],
        "totalTokens": usage["total_tokens"],
        "cachedTokens": usage["prompt_tokens_details"]["cached_tokens"],
        "reasoningTokens": None,
    }
    assert usage["completion_tokens"] == timings["predicted_n"] == GENERATED_TOKENS
    if is_stream:
        speed = pytest.approx(timings["predicted_per_second"], rel=SPEED_TOLERANCE)
        assert request["tokensPerSecond"] == speed
