"""Generating and embedding through the SDK."""

import asyncio
import math

import lmstudio
import pytest

from lmgateway.simulator import Simulator
from tests.support.gate import Gate

from .conftest import EMBEDDING, LLM, Socket, specifier


@pytest.fixture
async def model(simulator: Simulator, sdk: lmstudio.AsyncClient) -> lmstudio.AsyncLLM:
    simulator.load(LLM)
    return await sdk.llm.model(LLM)


async def test_responding(simulator: Simulator, model: lmstudio.AsyncLLM):
    """An answer says that it is simulated, and its figures are the ledger's."""
    progress: list[float] = []
    result = await model.respond("Hello", on_prompt_processing_progress=progress.append)
    assert result.content.startswith(f"This is a simulated answer from {LLM}.")
    assert result.stats.stop_reason == "eosFound"
    assert result.stats.predicted_tokens_count == simulator.ledger.apis["sdk/predict"].completion_tokens
    assert result.model_info.model_key == LLM
    assert progress[-1] == 1.0


async def test_streaming_fragments(model: lmstudio.AsyncLLM):
    """Fragments come one token at a time and add up to the answer."""
    stream = await model.respond_stream("Hello", config={"maxTokens": 4})
    fragments = [fragment async for fragment in stream]
    assert [fragment.tokens_count for fragment in fragments] == [1, 1, 1, 1]
    assert "".join(fragment.content for fragment in fragments) == stream.result().content
    assert stream.result().stats.stop_reason == "maxPredictedTokensReached"


async def test_completing(model: lmstudio.AsyncLLM):
    """A text completion stops at a stop string."""
    result = await model.complete("Once", config={"stopStrings": ["simulated"]})
    assert result.content == "This is a "
    assert result.stats.stop_reason == "stopStringFound"


async def test_structured_answers(model: lmstudio.AsyncLLM):
    """A JSON schema is answered by JSON that fits it."""
    schema = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}
    result = await model.respond("Who?", response_format=schema)
    assert result.parsed == {"name": "example", "age": 1}


async def test_acting_with_a_tool(model: lmstudio.AsyncLLM):
    """The first round calls the tool, the second answers."""
    calls: list[tuple[int, int]] = []

    def add(a: int, b: int) -> int:
        """Add two numbers."""
        calls.append((a, b))
        return a + b

    result = await model.act("What is 1 + 1?", [add])
    assert calls == [(1, 1)]
    assert result.rounds == 2


async def test_a_tool_call_may_be_cut(model: lmstudio.AsyncLLM):
    """Arguments that a limit cuts off are no tool call, and the SDK says so."""

    def shout(word: str) -> None:
        """Shout a word."""

    with pytest.raises(lmstudio.LMStudioPredictionError, match="tool call"):
        await model.act("Shout!", [shout], config={"maxTokens": 2})


async def test_cancelling_a_prediction(simulator: Simulator, model: lmstudio.AsyncLLM):
    """A cancelled prediction ends at once, with success and userStopped, and counts as aborted."""
    simulator.pace = gate = Gate(holds="token")
    stream = await model.respond_stream("Hello")
    async with stream:
        await asyncio.wait_for(gate.reached.wait(), 5)
        await stream.cancel()
        result = await asyncio.wait_for(stream.wait_for_result(), 5)
    assert result.stats.stop_reason == "userStopped"
    assert simulator.ledger.total.aborted == 1


async def test_embedding(simulator: Simulator, sdk: lmstudio.AsyncClient):
    """Vectors have 768 dimensions and unit length, and are the same for the same text."""
    simulator.load(EMBEDDING)
    model = await sdk.embedding.model(EMBEDDING)
    first, second, again = await model.embed(["one", "two", "one"])
    assert len(first) == 768
    assert math.hypot(*first) == pytest.approx(1, abs=1e-5)
    assert first == again
    assert first != second


async def test_counting_tokens(model: lmstudio.AsyncLLM):
    """tokenize and countTokens agree."""
    text = "The quick brown fox."
    assert len(await model.tokenize(text)) == await model.count_tokens(text) == 5


async def test_images_are_accepted(simulator: Simulator, unchanged_sdk: lmstudio.AsyncClient):
    """An uploaded image costs tokens."""
    simulator.load(LLM)
    model = await unchanged_sdk.llm.model(LLM)
    chat = lmstudio.Chat()
    chat.add_user_message(
        "What is this?", images=[await unchanged_sdk.prepare_image(b"\x89PNG not really", "picture.png")]
    )
    assert (await model.respond(chat)).stats.prompt_tokens_count > 256


async def test_completing_raw_text(simulator: Simulator, llm_socket: Socket):
    """The prompt has no template, and the packets are those of a prediction."""
    simulator.load(LLM)
    fields = [{"key": "llm.prediction.maxPredictedTokens", "value": {"checked": True, "value": 2}}]
    stack = {"layers": [{"layerName": "apiOverride", "config": {"fields": fields}}]}
    await llm_socket.create(
        "completeRawText",
        {
            "modelSpecifier": specifier(LLM),
            "rawPrompt": "Once upon a time",
            "predictionConfigStack": stack,
        },
    )
    packets = []
    while (frame := await llm_socket.receive())["type"] == "channelSend":
        packets.append(frame["message"])
    assert frame == {"type": "channelClose", "channelId": 1}
    assert [packet["type"] for packet in packets] == [
        *("promptProcessingProgress", "fragment", "fragment", "success")
    ]
    assert packets[-1]["stats"]["promptTokensCount"] == 4
    assert packets[-1]["stats"]["stopReason"] == "maxPredictedTokensReached"
