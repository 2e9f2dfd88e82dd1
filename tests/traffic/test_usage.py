"""Token counts, read from bytes in whatever pieces they come."""

from __future__ import annotations

import json
import random

import pytest

from lmgateway.schema.debug import TokenUsage
from lmgateway.traffic.metering import MAX_BODY_BYTES, MAX_EVENT_BYTES, BodyMeter, StreamMeter

CHAT = b"".join(
    b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n"
    for event in (
        {"choices": [{"delta": {"role": "assistant", "content": ""}}]},
        {"choices": [{"delta": {"content": "Grüße"}}]},
        {"choices": [{"delta": {"content": ' says "usage": {"prompt_tokens": 99}'}}]},
        {"choices": [{"delta": {"tool_calls": [{"function": {"arguments": '{"a"'}}]}}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
    )
)
EXTRA = (
    b'data: {"id":"x","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}\n\n'
)
DONE = b"data: [DONE]\n\n"
MESSAGES = (
    b"event: message_start\n"
    b'data: {"type":"message_start","message":{"usage":{"input_tokens":7,"output_tokens":1}}}\n\n'
    b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"Hello"}}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":3}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)
RESPONSES = (
    b'event: response.created\ndata: {"type":"response.created","response":{"usage":null}}\n\n'
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"Hello"}\n\n'
    b"event: response.completed\n"
    b'data: {"type":"response.completed","response":{"usage":{"input_tokens":7,"output_tokens":3}}}\n\n'
)
NATIVE = (
    b'event: message.delta\ndata: {"type":"message.delta","content":"Hello"}\n\n'
    b'event: chat.end\ndata: {"type":"chat.end","result":{"stats":{"input_tokens":7,"total_output_tokens":3,'
    b'"tokens_per_second":43.5,"time_to_first_token_seconds":0.2}}}\n\n'
)
STREAMS = {"chat": CHAT + EXTRA + DONE, "messages": MESSAGES, "responses": RESPONSES, "native": NATIVE}
SEVEN_AND_THREE = TokenUsage(prompt_tokens=7, completion_tokens=3, total_tokens=10)


def measure(pieces: list[bytes], *, strips: bool = False) -> tuple[StreamMeter, bytes]:
    meter = StreamMeter(strips=strips)
    passed = b"".join(map(meter.feed, pieces)) + meter.finish()
    return meter, passed


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("crlf", [False, True])
def test_stream_cut_anywhere_counts_right(kind: str, crlf: bool) -> None:
    """Wherever the network cuts a stream in two, its usage is read and its bytes pass."""
    stream = STREAMS[kind].replace(b"\n", b"\r\n") if crlf else STREAMS[kind]
    whole, _ = measure([stream])
    for cut in range(len(stream) + 1):
        meter, passed = measure([stream[:cut], stream[cut:]])
        assert meter.count.usage == SEVEN_AND_THREE
        assert meter.count.seen == whole.count.seen
        assert passed == stream


@pytest.mark.parametrize(
    ("event", "broke"),
    [
        (b'event: error\ndata: {"error": {"message": "x", "content":"y"}}\n\n', True),
        (b"event:error\r\ndata: {}\r\n\r\n", True),
        (b'event: response.failed\ndata: {"type":"response.failed"}\n\n', True),
        (b"event: error_but_not\ndata: {}\n\n", False),
        (b'data: {"text":"event: error\\n"}\n\n', False),
    ],
)
def test_a_stream_that_ends_in_an_error_broke(event: bytes, broke: bool) -> None:
    """LM Studio gave up, and no token is it that says so."""
    meter, passed = measure([CHAT, event])
    assert (meter.count.broke, passed) == (broke, CHAT + event)
    assert not broke or meter.count.seen == measure([CHAT])[0].count.seen


def test_extra_chunk_is_taken_out_wherever_it_is_cut() -> None:
    """The client sees byte for byte what it would have seen without accounting."""
    stream, expected = CHAT + EXTRA + DONE, CHAT + DONE
    for cut in range(len(stream) + 1):
        meter, passed = measure([stream[:cut], stream[cut:]], strips=True)
        assert passed == expected
        assert meter.count.usage == SEVEN_AND_THREE
    pieces = random.Random(1)
    for _ in range(200):
        cuts = sorted(pieces.choices(range(len(stream)), k=12))
        parts = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
        assert measure(parts, strips=True)[1] == expected


def test_complete_events_are_not_held_back() -> None:
    """What can be used is passed at once; only half an event waits for its other half."""
    meter = StreamMeter(strips=True)
    first, second = b'data: {"a":1}\n\n', b'data: {"b":2}\n\n'
    assert meter.feed(first + second[:5]) == first
    assert meter.feed(second[5:]) == second


@pytest.mark.parametrize("kind", ["chat"])
def test_tokens_are_seen_going_by(kind: str) -> None:
    """Text and tool calls count, empty deltas and the role don't."""
    meter, _ = measure([STREAMS[kind]])
    assert meter.count.seen == 3


@pytest.mark.parametrize("strips", [False, True])
def test_endless_event_passes_in_bounded_memory(strips: bool) -> None:
    """A stream without boundaries isn't collected, and what comes after it counts again."""
    meter = StreamMeter(strips=strips)
    piece = b"x" * 65536
    passed = 0
    for _ in range(4 * MAX_EVENT_BYTES // len(piece)):
        passed += len(meter.feed(piece))
        assert len(meter._rest) <= MAX_EVENT_BYTES
    assert passed >= 3 * MAX_EVENT_BYTES
    assert meter.feed(b"x\n") == b"x\n"
    assert meter.feed(b"\n" + EXTRA + DONE) == (b"\n" if strips else b"\n" + EXTRA) + DONE
    assert meter.count.usage == SEVEN_AND_THREE


@pytest.mark.parametrize(
    "odd",
    [
        b"data: {\n\n",
        b"data: [1]\n\n",
        b': {"usage":{}}\n\n',
        b'data: {"usage":{"prompt_tokens":"x"}}\n\n',
        b"\n\n\n\n",
        b"\xff\n\n",
    ],
)
def test_odd_events_pass_and_count_nothing(odd: bytes) -> None:
    """What isn't understood isn't changed."""
    meter, passed = measure([odd, DONE], strips=True)
    assert passed == odd + DONE
    assert meter.count.usage is None


@pytest.mark.parametrize("strips", [False, True])
@pytest.mark.parametrize("kind", STREAMS)
def test_a_stream_that_ends_anywhere_passes_as_it_is(kind: str, strips: bool) -> None:
    """Also in the middle of what would be a token."""
    for end in range(len(STREAMS[kind])):
        cut = STREAMS[kind][:end]
        _, passed = measure([cut], strips=strips)
        assert passed == (cut.replace(EXTRA, b"") if strips else cut)


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (b'{"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}', SEVEN_AND_THREE),
        (b'{\n  "usage": {\n    "input_tokens": 7,\n    "output_tokens": 3\n  }\n}', SEVEN_AND_THREE),
        (
            b'{"data":[],"usage":{"prompt_tokens":7,"total_tokens":7}}',
            TokenUsage(prompt_tokens=7, completion_tokens=0, total_tokens=7),
        ),
        (b'{"stats":{"input_tokens":7,"total_output_tokens":3}}', SEVEN_AND_THREE),
        (
            b'{"data":"'
            + b"x" * MAX_BODY_BYTES
            + b'","usage":{"prompt_tokens":7,"completion_tokens":3}, "z":{}}',
            SEVEN_AND_THREE,
        ),
        (b'{"data":"' + b'\\"usage\\":{' * MAX_BODY_BYTES + b'"}', None),
        (b"not json", None),
        (b"", None),
    ],
    ids=["openai", "pretty", "embeddings", "native", "long", "long without", "no json", "empty"],
)
def test_body_tells_its_usage(body: bytes, usage: TokenUsage | None) -> None:
    """A plain answer's counts are found, in a long one by its end, and never in its text."""
    meter = BodyMeter()
    pieces = [body[start : start + 10_000] for start in range(0, len(body), 10_000)]
    assert b"".join(map(meter.feed, pieces)) + meter.finish() == body
    assert meter.count.usage == usage
