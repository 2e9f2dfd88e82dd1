"""Anthropic's API, spoken by Anthropic's own client."""

import anthropic
import pytest

from lmgateway.simulator import Simulator

from .conftest import LLM

HELLO = {"model": LLM, "max_tokens": 1000, "messages": [{"role": "user", "content": "Hello"}]}
WEATHER = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"place": {"type": "string"}}},
}


@pytest.fixture(autouse=True)
def loaded(simulator: Simulator) -> None:
    simulator.load(LLM)


async def test_a_streamed_message(anthropic_client: anthropic.AsyncAnthropic):
    """The events come in Anthropic's order, and usage is in message_delta."""
    stream = await anthropic_client.messages.create(**HELLO, stream=True)
    events = [event async for event in stream]
    kinds = list(dict.fromkeys(event.type for event in events))
    # The client doesn't pass pings on.
    assert [kind for kind in kinds if kind != "ping"] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    deltas = [event for event in events if event.type == "content_block_delta"]
    assert events[-2].usage.output_tokens == len(deltas)
    assert events[0].message.usage.input_tokens > 0


async def test_pings(simulator: Simulator, http):
    """A ping follows the start of the content."""
    async with http.post("/v1/messages", json={**HELLO, "stream": True}) as response:
        events = (await response.text()).split("\n\n")
    assert [event.split("\n")[0] for event in events[:3]] == [
        "event: message_start",
        "event: content_block_start",
        "event: ping",
    ]


async def test_limits(anthropic_client: anthropic.AsyncAnthropic):
    """max_tokens and stop sequences are the stop reason."""
    cut = await anthropic_client.messages.create(**{**HELLO, "max_tokens": 2})
    assert (cut.stop_reason, cut.usage.output_tokens) == ("max_tokens", 2)
    stopped = await anthropic_client.messages.create(**HELLO, stop_sequences=["answer"])
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "answer")


async def test_a_tool_is_used_in_a_stream(anthropic_client: anthropic.AsyncAnthropic):
    """The client puts the input together from its JSON deltas."""
    async with anthropic_client.messages.stream(**HELLO, tools=[WEATHER]) as stream:
        message = await stream.get_final_message()
    assert message.stop_reason == "tool_use"
    assert message.content[0].input == {"place": "example"}


async def test_errors_have_anthropics_shape(anthropic_client: anthropic.AsyncAnthropic, http):
    """The client recognises what is wrong."""
    with pytest.raises(anthropic.BadRequestError) as caught:
        await anthropic_client.messages.create(**{**HELLO, "messages": "none"})
    assert caught.value.body["error"]["type"] == "invalid_request_error"
    async with http.post("/v1/messages", data=b"{nonsense") as response:
        assert response.status == 400
        assert (await response.json())["type"] == "error"
