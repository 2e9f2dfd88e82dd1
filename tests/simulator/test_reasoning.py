"""Models that think before they answer, in the shape of each API."""

import json

import aiohttp
import anthropic
import lmstudio
import openai
import pytest

from lmgateway.simulator import Simulator

from .conftest import LLM, ask

GPT_OSS = "openai/gpt-oss-20b"
QWEN3 = "qwen/qwen3-8b"
BOTH = pytest.mark.parametrize(
    ("model", "field"), [(GPT_OSS, "reasoning"), (QWEN3, "reasoning_content")], ids=["gpt-oss", "qwen3"]
)
HELLO = [{"role": "user", "content": "Hello"}]
TOOL = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}},
}


@pytest.fixture(autouse=True)
def loaded(simulator: Simulator) -> None:
    for model in (LLM, GPT_OSS, QWEN3):
        simulator.load(model)


async def events(http: aiohttp.ClientSession, path: str, body: object) -> list[dict[str, object]]:
    """Return the data of a stream's events, without [DONE]."""
    async with http.post(path, json=body) as response:
        assert response.status == 200
        data = [line for line in (await response.text()).split("\n") if line.startswith("data: {")]
        return [json.loads(line.removeprefix("data: ")) for line in data]


@BOTH
async def test_a_chat(openai_client: openai.AsyncOpenAI, model: str, field: str):
    """Thoughts are a field beside the content, and are counted; other models lack the field."""
    answer = await openai_client.chat.completions.create(model=model, messages=HELLO)
    message = answer.choices[0].message.model_dump()
    assert message[field].startswith("The user wrote 1 words.")
    assert message["content"].startswith("This is a simulated answer")
    assert "completion_tokens_details" not in answer.usage.model_fields_set
    cut = await openai_client.chat.completions.create(model=model, messages=HELLO, max_tokens=3)
    assert cut.choices[0].message.model_dump()[field] == "The user wrote"
    assert (cut.choices[0].message.content, cut.choices[0].finish_reason) == ("", "length")
    other = await openai_client.chat.completions.create(model=LLM, messages=HELLO)
    assert {"reasoning", "reasoning_content"}.isdisjoint(other.choices[0].message.model_dump())


@BOTH
async def test_a_streamed_chat(http: aiohttp.ClientSession, model: str, field: str):
    """Deltas of thoughts precede those of the content, each with the role; all are in the usage."""
    body = ask(model=model, stream=True, stream_options={"include_usage": True})
    *chunks, usage = await events(http, "/v1/chat/completions", body)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-1]]
    kinds = [set(delta) - {"role"} for delta in deltas]
    thoughts = kinds.count({field})
    assert kinds == [{field}] * thoughts + [{"content"}] * (len(deltas) - thoughts)
    assert 0 < thoughts < len(deltas)
    assert usage["usage"]["completion_tokens"] == len(deltas)


async def test_a_tool_is_called_after_the_thoughts(openai_client: openai.AsyncOpenAI):
    """In a stream, whose deltas add up to the call."""
    stream = await openai_client.chat.completions.create(
        model=QWEN3, messages=HELLO, tools=[TOOL], stream=True
    )
    deltas = [chunk.choices[0].delta async for chunk in stream]
    calls = [call for delta in deltas for call in delta.tool_calls or ()]
    assert deltas[0].model_dump()["reasoning_content"] == "The"
    assert calls[0].function.name == "f"
    assert "".join(call.function.arguments for call in calls) == '{"a":1}'


async def test_a_completion_has_no_thoughts(openai_client: openai.AsyncOpenAI):
    """A prompt without a template is continued."""
    answer = await openai_client.completions.create(model=QWEN3, prompt="Once")
    assert answer.choices[0].text.startswith("This is a simulated answer")


async def test_a_message(anthropic_client: anthropic.AsyncAnthropic):
    """Thoughts are a block before the text, whole and streamed; sent back they are no part of the prompt."""
    question = {"model": QWEN3, "max_tokens": 500, "messages": HELLO}
    whole = await anthropic_client.messages.create(**question)
    assert [block.type for block in whole.content] == ["thinking", "text"]
    async with anthropic_client.messages.stream(**question) as stream:
        seen = [event async for event in stream if event.type.startswith("content_block_")]
        message = await stream.get_final_message()
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.content[0].thinking == whole.content[0].thinking != ""
    assert message.content[1].text == whole.content[1].text
    kinds = list(dict.fromkeys(getattr(event.delta, "type", "") for event in seen if "delta" in event.type))
    assert kinds == ["thinking_delta", "text_delta"]

    async def prompt_tokens(content: object) -> int:
        turns = [*HELLO, {"role": "assistant", "content": content}, *HELLO]
        answer = await anthropic_client.messages.create(model=QWEN3, max_tokens=1, messages=turns)
        return answer.usage.input_tokens

    assert await prompt_tokens(whole.content) == await prompt_tokens(whole.content[1:])


async def test_a_response(openai_client: openai.AsyncOpenAI):
    """Thoughts are an item of their own, with events of their own, before the message."""
    stream = await openai_client.responses.create(model=GPT_OSS, input="Hello", stream=True)
    seen = [event async for event in stream]
    assert list(dict.fromkeys(event.type for event in seen)) == [
        *("response.created", "response.in_progress", "response.output_item.added"),
        *("response.reasoning_text.delta", "response.reasoning_text.done", "response.output_item.done"),
        *("response.content_part.added", "response.output_text.delta", "response.output_text.done"),
        *("response.content_part.done", "response.completed"),
    ]
    thoughts = [event.delta for event in seen if event.type == "response.reasoning_text.delta"]
    reasoning, message = seen[-1].response.output
    assert (reasoning.type, message.type) == ("reasoning", "message")
    assert [part.model_dump() for part in reasoning.content] == [
        {"type": "reasoning_text", "text": "".join(thoughts)}
    ]
    texts = [event for event in seen if event.type == "response.output_text.delta"]
    assert {event.output_index for event in texts} == {1}
    usage = seen[-1].response.usage
    assert usage.output_tokens_details.reasoning_tokens == len(thoughts)
    assert usage.output_tokens == len(thoughts) + len(texts)


async def test_lm_studios_own_chat(http: aiohttp.ClientSession):
    """Its events, its output and its figures tell thoughts from text; a request may turn them off."""
    seen = await events(http, "/api/v1/chat", {"model": QWEN3, "input": "Hello", "stream": True})
    kinds = list(dict.fromkeys(event["type"] for event in seen))
    assert kinds[4:] == [
        *("reasoning.start", "reasoning.delta", "reasoning.end"),
        *("message.start", "message.delta", "message.end", "chat.end"),
    ]
    thoughts = [event["content"] for event in seen if event["type"] == "reasoning.delta"]
    result = seen[-1]["result"]
    assert result["output"][0] == {"type": "reasoning", "content": "".join(thoughts)}
    assert result["output"][1]["type"] == "message"
    assert result["stats"]["reasoning_output_tokens"] == len(thoughts)
    body = {"model": QWEN3, "input": "Hello", "reasoning": "off"}
    async with http.post("/api/v1/chat", json=body) as response:
        off = await response.json()
    assert [item["type"] for item in off["output"]] == ["message"]
    assert off["stats"]["reasoning_output_tokens"] == 0


async def test_the_list_says_which_models_reason(http: aiohttp.ClientSession):
    """With the settings that a chat may choose."""
    async with http.get("/api/v1/models") as response:
        listed = {model["key"]: model for model in (await response.json())["models"]}
    assert listed[QWEN3]["capabilities"]["reasoning"] == {"allowed_options": ["off", "on"], "default": "on"}
    assert "reasoning" not in listed[LLM]["capabilities"]


async def test_fragments_of_the_sdk(sdk: lmstudio.AsyncClient):
    """Each says whether it is a thought."""
    model = await sdk.llm.model(QWEN3)
    stream = await model.respond_stream("Hello")
    kinds = [fragment.reasoning_type async for fragment in stream]
    assert list(dict.fromkeys(kinds)) == ["reasoning", "none"]


async def test_the_developer_is_the_system(openai_client: openai.AsyncOpenAI):
    """OpenAI's newer role makes the same prompt, and so the same answer."""
    answers = [
        await openai_client.chat.completions.create(
            model=LLM, messages=[{"role": role, "content": "Be brief."}, *HELLO]
        )
        for role in ("developer", "system")
    ]
    assert answers[0].choices[0].message.content == answers[1].choices[0].message.content
    assert answers[0].usage.prompt_tokens == answers[1].usage.prompt_tokens
