"""The model that an answer names, and its reasoning and cached tokens, in every API's format."""

from __future__ import annotations

import json

import pytest

from lmgateway.observe.tokens import TokenCount
from lmgateway.traffic.body_meter import END_BYTES, MAX_BODY_BYTES, BodyMeter
from lmgateway.traffic.metering import StreamMeter
from tests.support.processor import processor_seconds

MODEL = "gemma-3-1b-it-qat:2"
CHUNK = b'data: {"id":"x","model":"gemma-3-1b-it-qat:2","choices":[{"delta":{"content":"a"}}]}\n\n'
STREAMS = {
    "chat": CHUNK,
    "messages": b"event: message_start\n"
    b'data: {"type":"message_start","message":{"id":"x","model":"gemma-3-1b-it-qat:2"}}\n\n',
    "responses": b"event: response.created\n"
    b'data: {"type":"response.created","response":{"id":"x","model":"gemma-3-1b-it-qat:2"}}\n\n',
    "native": b'event: chat.start\ndata: {"type":"chat.start","model_instance_id":"gemma-3-1b-it-qat:2"}\n\n',
    "native, at its end": b"event: chat.end\n"
    b'data: {"type":"chat.end","result":{"model_instance_id":"gemma-3-1b-it-qat:2","stats":{}}}\n\n',
}
BODIES = {
    "chat": {"id": "x", "model": MODEL, "choices": [{"message": {"content": "a"}}], "usage": {}},
    "messages": {"id": "x", "type": "message", "content": [{"type": "text"}], "model": MODEL, "usage": {}},
    "responses": {"id": "x", "object": "response", "model": MODEL, "output": [], "usage": {}},
    "native": {"model_instance_id": MODEL, "output": [], "stats": {}},
    "embeddings": {"object": "list", "data": [], "model": MODEL, "usage": {}},
}
SPELLINGS = {"compact": (None, (",", ":")), "pretty": (2, None), "tabs": ("\t", (",", "\t: "))}


def of_stream(*pieces: bytes) -> TokenCount:
    meter = StreamMeter(strips=False)
    for piece in pieces:
        meter.feed(piece)
    meter.finish()
    return meter.count


def of_body(body: bytes) -> TokenCount:
    meter = BodyMeter()
    for start in range(0, len(body), 10_000):
        meter.feed(body[start : start + 10_000])
    meter.finish()
    return meter.count


def spelled(body: object, spelling: str) -> bytes:
    indent, separators = SPELLINGS[spelling]
    return json.dumps(body, indent=indent, separators=separators).encode()


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("kind", STREAMS)
def test_a_stream_names_its_model_wherever_it_is_split(kind: str, line_end: bytes) -> None:
    """Each API names it in another place."""
    stream = (b": ping\n\n" + STREAMS[kind] + b"data: [DONE]\n\n").replace(b"\n", line_end)
    for cut in range(len(stream)):
        assert of_stream(stream[:cut], stream[cut:]).model == MODEL


def test_a_stream_that_is_not_split_names_its_model() -> None:
    assert of_stream(*[CHUNK] * 3).model == MODEL


def test_a_stream_that_breaks_off_in_its_first_event_names_its_model() -> None:
    assert of_stream(CHUNK[:-1]).model == MODEL


def test_the_first_name_counts_and_later_events_are_only_counted() -> None:
    other = CHUNK.replace(b"gemma", b"other")
    assert of_stream(CHUNK, other).model == MODEL
    nameless = b'data: {"id":"x","choices":[{"delta":{"content":"a"}}]}\n\n'
    count = of_stream(*[nameless] * 100, CHUNK)
    assert (count.model, count.seen) == (None, 101)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("kind", BODIES)
def test_a_body_names_its_model(kind: str, spelling: str) -> None:
    """LM Studio prints its JSON with line breaks and spaces."""
    assert of_body(spelled(BODIES[kind], spelling)).model == MODEL


# The tool's arguments are text, and look like members of the body. The metadata has members of these names.
LOOKS_ALIKE = '{"model":"not this","usage":{"prompt_tokens":99}}'
NESTED = {"metadata": [{"model": "nor this", "usage": {"prompt_tokens": 98}, "x": {}}]}
LONG_TEXT = LOOKS_ALIKE + "x" * MAX_BODY_BYTES + LOOKS_ALIKE
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "completion_tokens_details": {"reasoning_tokens": 2}}
LONG_BODIES = {
    "first": {**NESTED, "model": MODEL, "output": LONG_TEXT, **NESTED, "usage": USAGE},
    "last": {"output": LONG_TEXT, "before": NESTED, "model": MODEL, "usage": USAGE, "after": NESTED},
    "behind usage": {"output": LONG_TEXT, "usage": USAGE, "before": NESTED, "model": MODEL},
    "native": {"model_instance_id": MODEL, "before": NESTED, "output": LONG_TEXT, "usage": USAGE},
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("kind", LONG_BODIES)
def test_a_long_body_names_its_model(kind: str, spelling: str) -> None:
    """At its beginning or its end; nothing nested or quoted is mistaken for it."""
    count = of_body(spelled(LONG_BODIES[kind], spelling))
    assert (count.model, count.prompt_tokens, count.reasoning_tokens) == (MODEL, 7, 2)


@pytest.mark.parametrize("end", ['"usage": null, "other": {"prompt_tokens": 9}', '"a": [{"usage": {}}]'])
def test_a_long_body_without_usage_counts_nothing(end: str) -> None:
    """An object behind a null isn't the usage."""
    count = of_body(f'{{"data": "{"x" * MAX_BODY_BYTES}", {end}}}'.encode())
    assert (count.usage, count.model) == (None, None)


@pytest.mark.parametrize("member", [b'"model":"x",', b'"usage":{},', b'"model":"', b'"model":'])
def test_the_ends_of_a_long_body_take_little_time(member: bytes) -> None:
    """However many members of these names they have."""
    run = member * (END_BYTES // len(member))
    body = b'{"a":[{' + run + b"x" * MAX_BODY_BYTES + run + b"}"
    assert processor_seconds(lambda: of_body(body)) < 0.2


ODD_NAMES = {
    b"7": None,
    b"null": None,
    b'""': None,
    b'{"a":1}': None,
    rb'"half \ud83d"': "half \ufffd",
    rb'"\udc00\ud83d\ude00"': "\ufffd\U0001f600",
}


@pytest.mark.parametrize("name", ODD_NAMES)
def test_an_odd_name_spoils_nothing(name: bytes) -> None:
    """It is unknown, or repaired; the counts beside it are read."""
    data = b'{"id":"x","model":%s,"choices":[],"usage":{"prompt_tokens":7}}' % name
    for count in (of_stream(b"data: %s\n\n" % data), of_body(data)):
        assert (count.model, count.prompt_tokens) == (ODD_NAMES[name], 7)


def test_a_long_name_is_bounded() -> None:
    assert len(of_body(b'{"model":"%s"}' % (b"x" * 200_000)).model or "") < 100_000


# Where each API reports them, by OpenAI's, Anthropic's and LM Studio's documentation.
DETAILS = {
    "chat": '{"usage":{"prompt_tokens":7,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":5},'
    '"completion_tokens_details":{"reasoning_tokens":2}}}',
    "responses": '{"usage":{"input_tokens":7,"input_tokens_details":{"cached_tokens":5},"output_tokens":3,'
    '"output_tokens_details":{"reasoning_tokens":2}}}',
    "responses, in a stream": '{"type":"response.completed","response":{"usage":{"input_tokens":7,'
    '"input_tokens_details":{"cached_tokens":5},"output_tokens_details":{"reasoning_tokens":2}}}}',
}


@pytest.mark.parametrize("kind", DETAILS)
def test_reasoning_and_cached_tokens_are_read(kind: str) -> None:
    data = DETAILS[kind].encode()
    for count in (of_body(data), of_stream(b"data: %s\n\n" % data)):
        assert (count.reasoning_tokens, count.cached_tokens) == (2, 5)


@pytest.mark.parametrize(
    ("data", "reasoning", "cached"),
    [
        ('{"stats":{"input_tokens":7,"total_output_tokens":3,"reasoning_output_tokens":2}}', 2, None),
        ('{"usage":{"input_tokens":7,"output_tokens":3,"cache_read_input_tokens":5}}', None, 5),
        ('{"type":"message_start","message":{"usage":{"cache_read_input_tokens":5}}}', None, 5),
        ('{"usage":{"prompt_tokens":7,"completion_tokens":3}}', None, None),
        ('{"usage":{"prompt_tokens_details":null,"completion_tokens_details":{}}}', None, None),
        ('{"usage":{"completion_tokens_details":{"reasoning_tokens":0}}}', 0, None),
        ('{"usage":{"completion_tokens_details":{"reasoning_tokens":-1}}}', None, None),
        ('{"usage":{"completion_tokens_details":{"reasoning_tokens":1e99}}}', None, None),
        ('{"usage":{"completion_tokens_details":7,"cache_read_input_tokens":5}}', None, 5),
        ('{"usage":{"prompt_tokens_details":{"cached_tokens":"5"}},"stats":[]}', None, None),
    ],
)
def test_an_unknown_count_is_unknown_and_not_none_at_all(
    data: str, reasoning: int | None, cached: int | None
) -> None:
    """0 would say that there was no reasoning, or that nothing was in the cache."""
    count = of_stream(f"data: {data}\n\n".encode())
    assert (count.reasoning_tokens, count.cached_tokens) == (reasoning, cached)
