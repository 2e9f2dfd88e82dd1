"""OpenAI's API, spoken by OpenAI's own client."""

import json

import aiohttp
import openai
import pytest

from lmgateway.simulator import Simulator, Switches

from .conftest import EMBEDDING, LLM, OTHER_LLM, ask

HELLO = [{"role": "user", "content": "Hello"}]
CHAT = {"model": LLM, "messages": HELLO}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string"},
                "unit": {"enum": ["celsius", "fahrenheit"]},
                "days": {"type": "integer", "minimum": 2},
            },
        },
    },
}
WEATHER_ARGUMENTS = '{"place":"example","unit":"celsius","days":2}'


@pytest.fixture(autouse=True)
def loaded(simulator: Simulator) -> None:
    simulator.load(LLM)


async def test_models_are_listed(openai_client: openai.AsyncOpenAI):
    """With just-in-time loading every model that can run is listed, and can be looked up."""
    listed = [model.id async for model in openai_client.models.list()]
    assert listed[:2] == [LLM, OTHER_LLM]
    assert EMBEDDING in listed
    assert (await openai_client.models.retrieve(LLM)).id == LLM
    with pytest.raises(openai.NotFoundError):
        await openai_client.models.retrieve("nope")


async def test_a_chat(simulator: Simulator, openai_client: openai.AsyncOpenAI):
    """It says that it is simulated, usage is what was produced, and a negative max_tokens is no limit."""
    answer = await openai_client.chat.completions.create(**CHAT, max_tokens=-1)
    assert answer.choices[0].message.content.startswith(f"This is a simulated answer from {LLM}.")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.completion_tokens == simulator.ledger.total.completion_tokens
    assert answer.usage.prompt_tokens == simulator.ledger.total.prompt_tokens
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


async def test_the_same_question_has_the_same_answer(openai_client: openai.AsyncOpenAI):
    """Text depends on the prompt and nothing else."""
    answers = [await openai_client.chat.completions.create(**CHAT) for _ in range(2)]
    other = await openai_client.chat.completions.create(model=LLM, messages=[*HELLO, *HELLO])
    texts = [answer.choices[0].message.content for answer in (*answers, other)]
    assert texts[0] == texts[1] != texts[2]


async def test_a_streamed_chat(openai_client: openai.AsyncOpenAI):
    """One chunk a token, the role in each, the reason in the last, and no usage unless asked for."""
    whole = await openai_client.chat.completions.create(**CHAT)
    stream = await openai_client.chat.completions.create(**CHAT, stream=True)
    chunks = [chunk async for chunk in stream]
    pieces = [chunk.choices[0].delta.content for chunk in chunks[:-1]]
    assert {chunk.choices[0].delta.role for chunk in chunks[:-1]} == {"assistant"}
    assert chunks[-1].choices[0].delta.model_dump(exclude_none=True) == {}
    assert "".join(pieces) == whole.choices[0].message.content
    assert len(pieces) == whole.usage.completion_tokens
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)


async def test_the_usage_of_a_streamed_chat(http: aiohttp.ClientSession):
    """If asked for it is in a chunk of its own, without choices and without details of the prompt."""
    body = ask(stream=True, max_tokens=2, stream_options={"include_usage": True})
    async with http.post("/v1/chat/completions", json=body) as response:
        chunks = [
            json.loads(event.removeprefix("data: ")) for event in (await response.text()).split("\n\n")[:-2]
        ]
    assert all("usage" not in chunk for chunk in chunks[:-1])
    assert chunks[-1]["choices"] == []
    assert set(chunks[-1]["usage"]) == {"prompt_tokens", "completion_tokens", "total_tokens"}


async def test_the_bytes_of_a_stream(http: aiohttp.ClientSession):
    """Events are `data: …` and an empty line, the last one says [DONE]."""
    async with http.post("/v1/chat/completions", json=ask(stream=True, max_tokens=2)) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        events = (await response.text()).split("\n\n")
    assert all(event.startswith("data: {") for event in events[:3])
    assert events[3:] == ["data: [DONE]", ""]


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
async def test_a_limit_cuts_the_answer(openai_client: openai.AsyncOpenAI, limit: str):
    """finish_reason is length when either limit ended the answer."""
    answer = await openai_client.chat.completions.create(**CHAT, **{limit: 3})
    assert answer.choices[0].message.content == "This is a"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 3


async def test_a_stop_string(openai_client: openai.AsyncOpenAI):
    """The answer ends before it."""
    answer = await openai_client.chat.completions.create(**CHAT, stop=["answer", "zzz"])
    assert answer.choices[0].message.content == "This is a simulated "
    assert answer.choices[0].finish_reason == "stop"


async def test_asking_for_words(openai_client: openai.AsyncOpenAI):
    """A prompt that asks for a number of words gets as many."""
    question = [{"role": "user", "content": "Tell me a story in 300 words."}]
    answer = await openai_client.chat.completions.create(model=LLM, messages=question)
    assert len(answer.choices[0].message.content.split()) == 300


async def test_a_tool_is_called(openai_client: openai.AsyncOpenAI):
    """The first turn calls the first tool with arguments that fit its schema, the next one answers."""
    first = await openai_client.chat.completions.create(**CHAT, tools=[WEATHER])
    assert first.choices[0].finish_reason == "tool_calls"
    call = first.choices[0].message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("get_weather", WEATHER_ARGUMENTS)
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    second = await openai_client.chat.completions.create(
        model=LLM, messages=[*HELLO, first.choices[0].message, result], tools=[WEATHER]
    )
    assert second.choices[0].finish_reason == "stop"
    assert "simulated" in second.choices[0].message.content


async def test_a_tool_is_called_in_a_stream(openai_client: openai.AsyncOpenAI):
    """The deltas of a tool call add up to name and arguments."""
    stream = await openai_client.chat.completions.create(**CHAT, tools=[WEATHER], stream=True)
    chunks = [chunk async for chunk in stream]
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    assert calls[0].function.name == "get_weather"
    assert "".join(call.function.arguments for call in calls) == WEATHER_ARGUMENTS
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


async def test_tools_may_be_left_alone(openai_client: openai.AsyncOpenAI):
    """tool_choice none forbids calling."""
    answer = await openai_client.chat.completions.create(**CHAT, tools=[WEATHER], tool_choice="none")
    assert answer.choices[0].finish_reason == "stop"


async def test_structured_answers(openai_client: openai.AsyncOpenAI):
    """The answer matches the JSON schema."""
    schema = {"name": "person", "schema": {"type": "object", "properties": {"old": {"type": "boolean"}}}}
    answer = await openai_client.chat.completions.create(
        **CHAT, response_format={"type": "json_schema", "json_schema": schema}
    )
    assert answer.choices[0].message.content == '{"old":true}'


async def test_a_completion(openai_client: openai.AsyncOpenAI):
    """Text completions, whole and streamed, are the same text."""
    whole = await openai_client.completions.create(model=LLM, prompt="Once upon a time")
    stream = await openai_client.completions.create(
        model=LLM, prompt="Once upon a time", stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].text for chunk in chunks[:-1]) == whole.choices[0].text
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason == "stop"
    assert chunks[-1].usage == whole.usage


async def test_embeddings(openai_client: openai.AsyncOpenAI):
    """The client's own base64 and plain floats are the same vectors."""
    packed = await openai_client.embeddings.create(model=EMBEDDING, input=["one", "two"])
    plain = await openai_client.embeddings.create(
        model=EMBEDDING, input=["one", "two"], encoding_format="float"
    )
    assert [one.index for one in packed.data] == [0, 1]
    assert packed.data[1].embedding == pytest.approx(plain.data[1].embedding)
    assert len(packed.data[0].embedding) == 768
    assert packed.usage.prompt_tokens == packed.usage.total_tokens == 0


async def test_counted_embeddings(simulator: Simulator, openai_client: openai.AsyncOpenAI):
    """A switch lets the usage of embeddings be counted, as newer versions may."""
    simulator.switches = Switches(embedding_usage=True)
    answer = await openai_client.embeddings.create(model=EMBEDDING, input=["one", "two"])
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == 2


async def test_a_streamed_response(openai_client: openai.AsyncOpenAI):
    """The full sequence of events, numbered, with usage in the last."""
    stream = await openai_client.responses.create(
        model=LLM, input="Hello", instructions="Be brief.", stream=True
    )
    events = [event async for event in stream]
    kinds = list(dict.fromkeys(event.type for event in events))
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == events[-1].response.output_text
    usage = events[-1].response.usage
    assert usage.output_tokens == len(deltas)
    assert "input_tokens_details" not in usage.model_fields_set


async def test_a_response_that_is_cut(openai_client: openai.AsyncOpenAI):
    """max_output_tokens leaves a response incomplete."""
    stream = await openai_client.responses.create(model=LLM, input="Hello", max_output_tokens=2, stream=True)
    last = [event async for event in stream][-1]
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details.reason == "max_output_tokens"


async def test_a_response_calls_a_tool_in_a_stream(openai_client: openai.AsyncOpenAI):
    """Function calls are output items, and their deltas add up to the arguments."""
    tool = {"type": "function", **WEATHER["function"]}
    stream = await openai_client.responses.create(model=LLM, input="Hello", tools=[tool], stream=True)
    events = [event async for event in stream]
    deltas = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
    call = events[-1].response.output[0]
    assert (call.type, call.name) == ("function_call", "get_weather")
    assert "".join(deltas) == call.arguments == WEATHER_ARGUMENTS
