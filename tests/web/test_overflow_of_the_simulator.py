"""A prompt that is too long, in every way in which LM Studio reports it, on every path that generates."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import get_args

import aiohttp
import pytest

from lmgateway.simulator import Pace, Simulator, Switches
from lmgateway.simulator.engine.switches import Overflow
from tests.conftest import StartGateway
from tests.support.home import Home
from tests.support.studio import running_studio

MODEL = "qwen2.5-7b-instruct"
CONTEXT = 4096
# More words than that.
TOO_LONG = "word " * 5_000
TEXT = [{"role": "user", "content": TOO_LONG}]
BODIES: dict[str, dict[str, object]] = {
    "/v1/chat/completions": {"messages": TEXT},
    "/v1/completions": {"prompt": TOO_LONG},
    "/api/v0/chat/completions": {"messages": TEXT},
    "/v1/responses": {"input": TOO_LONG},
    "/v1/messages": {"messages": TEXT, "max_tokens": 10},
    "/api/v1/chat": {"input": TOO_LONG},
}
OF_PROMPTS = [
    overflow if overflow in {"usual", "empty"} else pytest.param(overflow, marks=pytest.mark.long)
    for overflow in get_args(Overflow)
    if not overflow.startswith("mid_generation")
]


@pytest.fixture
async def home(start_gateway: StartGateway) -> AsyncIterator[Home]:
    simulator = Simulator(pace=Pace.instant())
    simulator.load(MODEL)
    async with running_studio(simulator) as studio:
        yield Home(await start_gateway(studio.base_url), studio)


@pytest.mark.parametrize("overflow", OF_PROMPTS)
@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("stream", [False, True])
async def test_it_is_an_error_that_clients_know(
    home: Home, path: str, overflow: Overflow, *, stream: bool
) -> None:
    """Status 400 with the context's size, or the stream breaks after an error event; one request in all."""
    home.studio.simulator.switches = Switches(overflow=overflow)
    gateway = home.gateway
    body = {"model": MODEL, "stream": stream, **BODIES[path]}
    async with gateway.client.post(gateway.url(path), json=body) as response:
        if response.status == 200:
            assert stream
            received = bytearray()
            with pytest.raises(aiohttp.ClientPayloadError):
                async for piece in response.content.iter_any():
                    received += piece
            last = received.decode().rstrip().split("\n\n")[-1]
            assert "error" in last
            assert str(CONTEXT) in last
        else:
            assert response.status == 400
            message = (await response.json())["error"]["message"]
            assert str(CONTEXT) in message
            words = "prompt is too long" if path == "/v1/messages" else "maximum context length"
            assert words in message
    assert home.studio.simulator.ledger.total.begun == 1


@pytest.mark.parametrize("overflow", ["mid_generation", "mid_generation_mlx"])
@pytest.mark.parametrize("path", BODIES)
async def test_it_ends_a_stream_in_mid_generation(home: Home, path: str, overflow: Overflow) -> None:
    """The client gets the tokens so far, the protocol's error event, and no clean end."""
    home.studio.simulator.switches = Switches(overflow=overflow)
    shorter = "word " * (CONTEXT - 40)
    body = {
        "/v1/completions": {"prompt": shorter},
        "/v1/responses": {"input": shorter},
        "/api/v1/chat": {"input": shorter},
    }.get(path, {"messages": [{"role": "user", "content": f"{shorter} in 200 words"}]})
    gateway = home.gateway
    async with gateway.client.post(
        gateway.url(path), json={"model": MODEL, "stream": True, "max_tokens": 500, **body}
    ) as response:
        received = bytearray()
        if response.status == 400:  # everything was in the first piece
            assert "context" in (await response.text()) or "too long" in (await response.text())
            return
        with pytest.raises(aiohttp.ClientPayloadError):
            async for piece in response.content.iter_any():
                received += piece
    text = received.decode()
    assert text.count("context_length_exceeded") + text.count("prompt is too long") == 1
    for end in ("[DONE]", "message_stop", "response.completed", "chat.end"):
        assert end not in text
