"""Token counts of responses, split anywhere."""

from __future__ import annotations

import json
import random

import pytest

from lmgateway.schema.debug import TokenUsage
from lmgateway.traffic.body_meter import MAX_BODY_BYTES, BodyMeter
from lmgateway.traffic.metering import MAX_EVENT_BYTES, StreamMeter
from lmgateway.traffic.stream_end import OF_CHOICES, OF_MESSAGES, OF_NATIVE_CHAT, OF_RESPONSES, UNFINISHED
from tests.support.processor import processor_seconds

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
    """Wherever a stream is split in two, its usage is counted and its bytes are relayed."""
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
        (b'event: response.failed\ndata: {"type":"response.failed","response":{"error":{}}}\n\n', True),
        (b'data: {"error":{"message":"x","content":"y"}}\n\n', True),
        (b'data:{ "code": 500, "error" : "Context size has been exceeded." }\r\n\r\n', True),
        (b'id: 1\nevent: error\ndata: {"type":"error"}\n\n', True),
        (b'data: {"type": "error", "error": {"type": "overloaded_error"}}\n\n', True),
        (b'data: {"type":"response.failed","response":{"error":{"code":"x"}}}\n\n', True),
        (b'data: {"error":{"message":"half a character: \\ud83d"}}\n\n', True),
        (b'data: {"error":{"message":"prompt_tokens"},"usage":{"prompt_tokens":1}}\n\n', True),
        (b'data: {"error":' + b"[" * 100_000 + b"\n\n", True),
        (b'data: {"a":{"error":' + b"[" * 100_000 + b"\n\n", False),
        (b'data: {"choices":[],"error":null}\n\n', False),
        (b'data: {"error":null,"a":"\\ud83d"}\n\n', False),
        (b'data: {"a":{"error":{"message":"x"}}}\n\n', False),
        (b'data: {"a":"data: {\\"error\\":{}}"}\n\n', False),
        (b'data: {"type":"response.created","response":{"error":null}}\n\n', False),
        (b"event: error_but_not\ndata: {}\n\n", False),
        (b'data: {"text":"event: error\\n"}\n\n', False),
    ],
)
def test_a_stream_that_ends_in_an_error_broke(event: bytes, broke: bool) -> None:
    """And the error event isn't counted as a token."""
    meter, passed = measure([CHAT, event])
    assert (meter.count.fault is not None, passed) == (broke, CHAT + event)
    assert not broke or meter.count.seen == measure([CHAT])[0].count.seen


def test_extra_chunk_is_removed_wherever_it_is_split() -> None:
    """The client receives byte for byte what it would receive without accounting."""
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


COMMON = b'"id":"x","object":"chat.completion.chunk","created":1,"model":"m","system_fingerprint":"f"'
TIMINGS = b'"timings" : {"predicted_ms":1.50, "usage":{"prompt_tokens":7,"completion_tokens":3}}'
USAGE = b'"usage": {"prompt_tokens":7,"completion_tokens":3}'


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n"])
@pytest.mark.parametrize(
    ("sent", "passed"),
    [
        (b'{"choices":[],%c,%t,%u}', b'{"choices":[],%c,%t}'),
        (b'{"choices":[],%c,%u,%t}', b'{"choices":[],%c,%t}'),
        (b'{%u , "choices":[] ,%t}', b'{"choices":[] ,%t}'),
        (b'{ %u,"choices":[], "stats":{"a":1.0}\t}', b'{ "choices":[], "stats":{"a":1.0}\t}'),
        (b'{"choices":[] , "big":1E400\t, %u }', b'{"choices":[] , "big":1E400 }'),
        (b'{"choices":[],%c,%u}', None),
        (b'{"choices":[],%u}', None),
    ],
    ids=["last", "before", "first", "stats", "white space", "all there is", "little there is"],
)
def test_only_usage_is_removed_from_a_chunk_with_more_members(
    sent: bytes, passed: bytes | None, end: bytes
) -> None:
    """llama-server's timings and LM Studio's stats arrive byte for byte."""

    def event(data: bytes) -> bytes:
        return b"data: " + data.replace(b"%c", COMMON).replace(b"%t", TIMINGS).replace(b"%u", USAGE) + end

    whole, left = event(sent), b"" if passed is None else event(passed)
    for cut in range(len(whole) + 1):
        meter, seen = measure([CHAT, whole[:cut], whole[cut:], DONE], strips=True)
        assert seen == CHAT + left + DONE
        assert meter.count.usage == SEVEN_AND_THREE
    assert measure([whole], strips=False)[1] == whole


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"choices":[],"\\u0075sage":{"prompt_tokens":7},"usage":{"prompt_tokens":7},"a":1.0}\n\n',
        b'data: {"choices":[],\ndata: "usage":{"prompt_tokens":7},\ndata: "a":1.0}\n\n',
    ],
    ids=["escaped name", "in lines"],
)
def test_usage_is_removed_in_every_spelling(event: bytes) -> None:
    """If it can't be cut out, the chunk is serialized again, with unchanged values."""
    assert measure([event], strips=True)[1] == b'data: {"choices":[],"a":1.0}\n\n'


ENDS = {
    "choices": (OF_CHOICES, [CHAT, CHAT + EXTRA, CHAT + EXTRA + DONE, b"data:[DONE]", b": ping\n\n" + DONE]),
    "responses": (OF_RESPONSES, [RESPONSES, b"event:response.incomplete\r\ndata: {}\r\n\r\n"]),
    "messages": (OF_MESSAGES, [MESSAGES, b'data: {"type": "message_stop"}\n\n']),
    "native": (OF_NATIVE_CHAT, [NATIVE]),
}
NO_ENDS = [b"", b": ping\n\n", b'data: {"choices":[{"finish_reason":null,"delta":{"content":"x"}}]}\n\n']
NO_ENDS += [b'data: {"a":"data: [DONE] \\"finish_reason\\":\\"stop\\" event: message_stop"}\n\n']


@pytest.mark.parametrize("kind", ENDS)
@pytest.mark.parametrize("strips", [False, True])
def test_a_stream_without_its_proper_end_has_failed(kind: str, strips: bool) -> None:
    """Each API has its own end; another API's doesn't count."""
    end, complete = ENDS[kind]
    others = [stream for name, (_, streams) in ENDS.items() if name != kind for stream in streams]
    for stream, fault in [
        *((one, None) for one in complete),
        *((one, UNFINISHED) for one in NO_ENDS + others),
    ]:
        for pieces in ([stream], [stream[:9], stream[9:]], [bytes([byte]) for byte in stream]):
            meter = StreamMeter(strips=strips, end=end)
            passed = b"".join(map(meter.feed, pieces)) + meter.finish()
            assert meter.count.fault == fault, stream
            assert passed == (stream.replace(EXTRA, b"") if strips else stream)


@pytest.mark.parametrize("size", [5000, MAX_EVENT_BYTES + 1000])
def test_the_end_is_recognised_in_an_event_that_is_too_long_to_be_parsed(size: int) -> None:
    """The last event of /v1/responses repeats the whole answer."""
    event = b'event: response.completed\ndata: {"type":"response.completed","text":"%s"}\n\n' % (b"x" * size)
    meter = StreamMeter(strips=False, end=OF_RESPONSES)
    for start in range(0, len(event), 65536):
        meter.feed(event[start : start + 65536])
    meter.finish()
    assert meter.count.fault is None


def test_complete_events_are_not_held_back() -> None:
    """A complete event is relayed at once; only half an event waits for its other half."""
    meter = StreamMeter(strips=True)
    first, second = b'data: {"a":1}\n\n', b'data: {"b":2}\n\n'
    assert meter.feed(first + second[:5]) == first
    assert meter.feed(second[5:]) == second


@pytest.mark.parametrize("kind", ["chat"])
def test_tokens_are_counted_in_passing(kind: str) -> None:
    """Text and tool calls count, empty deltas and the role don't."""
    meter, _ = measure([STREAMS[kind]])
    assert meter.count.seen == 3


@pytest.mark.parametrize("strips", [False, True])
def test_endless_event_passes_in_bounded_memory(strips: bool) -> None:
    """A stream without boundaries isn't buffered, and the events after it are counted."""
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
    """They are relayed unchanged."""
    meter, passed = measure([odd, DONE], strips=True)
    assert passed == odd + DONE
    assert meter.count.usage is None


@pytest.mark.parametrize("strips", [False, True])
@pytest.mark.parametrize("kind", STREAMS)
def test_a_stream_that_ends_anywhere_passes_as_it_is(kind: str, strips: bool) -> None:
    """Also in the middle of an event."""
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
def test_usage_of_a_body_is_counted(body: bytes, usage: TokenUsage | None) -> None:
    """Of a long body only the end is parsed; text that looks like usage isn't counted."""
    meter = BodyMeter()
    pieces = [body[start : start + 10_000] for start in range(0, len(body), 10_000)]
    assert b"".join(map(meter.feed, pieces)) + meter.finish() == body
    assert meter.count.usage == usage


LONG = MAX_EVENT_BYTES - 200
USAGE = b'"usage":{"prompt_tokens":7,"completion_tokens":3}'
LONG_EVENTS = {
    "spaces": b'data: {"choices":[],%s,"x":1%s}' % (USAGE, b" " * 60_000),
    "many spaces": b'data: {"choices":[],%s,"x":1%s}' % (USAGE, b" " * LONG),
    "usages": b'data: {"choices":[],"x":[0%s],%s}' % (b',{"usage":{}}' * (LONG // 13), USAGE),
    "text": b'data: {"choices":[],"x":"%s",%s}' % (b"error " * (LONG // 6), USAGE),
    "choices": b'data: {"choices":[0%s],%s}' % (b",0" * (LONG // 2), USAGE),
}


@pytest.mark.parametrize("kind", LONG_EVENTS)
def test_a_long_event_takes_little_time(kind: str) -> None:
    """Its usage is counted in time that grows with its length, and not with the square of it."""
    pieces = [LONG_EVENTS[kind] + b"\n\n"]
    assert processor_seconds(lambda: measure(pieces, strips=True)) < 0.2
    meter, passed = measure(pieces, strips=True)
    assert meter.count.usage == SEVEN_AND_THREE
    assert (USAGE in passed) == (kind != "spaces")


def test_an_event_in_many_pieces_is_searched_once() -> None:
    """Each piece is searched for the event's end, and not all of the event again."""
    event = b'data: {"x":"%s"}\n\n' % (b"y" * LONG)
    pieces = [event[start : start + 200] for start in range(0, len(event), 200)]
    assert measure(pieces, strips=True)[1] == event
    assert processor_seconds(lambda: measure(pieces, strips=True)) < 2
