"""Which events of a stream are counted as tokens, in the formats of all APIs."""

from __future__ import annotations

import json

import pytest

from lmgateway.traffic.metering import StreamMeter

HALF = "\ud83d"


def chunk(**choice: object) -> bytes:
    """Return an event of /v1/chat/completions or /v1/completions, as LM Studio spells it."""
    data = {"id": "x", "object": "chat.completion.chunk", "model": "m", "choices": [{"index": 0, **choice}]}
    return b"data: %s\n\n" % json.dumps(data, separators=(",", ":")).encode()


def delta(**members: object) -> bytes:
    return chunk(delta={"role": "assistant", **members}, finish_reason=None)


def event(name: str, **members: object) -> bytes:
    """Return an event of an API that names its events."""
    data = json.dumps({"type": name, **members}, separators=(",", ":"))
    return f"event: {name}\ndata: {data}\n\n".encode()


def block(**members: object) -> bytes:
    return event("content_block_delta", index=0, delta=members)


CALL = [{"index": 0, "function": {"arguments": '{"city'}}]
TOKENS = {
    "content": delta(content="a"),
    "reasoning_content": delta(reasoning_content="a"),
    "reasoning of gpt-oss": delta(reasoning="a"),
    "reasoning beside empty content": delta(content="", reasoning_content="a"),
    "half a character": delta(content=HALF),
    "half a character of reasoning": delta(reasoning_content=HALF),
    "white space": delta(content="\n"),
    "a quote": delta(reasoning='"'),
    "arguments": delta(tool_calls=CALL),
    "completions": chunk(text="a", finish_reason=None),
    "text_delta": block(type="text_delta", text="a"),
    "thinking_delta": block(type="thinking_delta", thinking="a"),
    "half a thought": block(type="thinking_delta", thinking=HALF),
    "input_json_delta": block(type="input_json_delta", partial_json='{"a'),
    "output_text": event("response.output_text.delta", item_id="x", delta="a"),
    "reasoning_text": event("response.reasoning_text.delta", item_id="x", delta="a"),
    "half a character of reasoning_text": event("response.reasoning_text.delta", delta=HALF),
    "reasoning_summary_text": event("response.reasoning_summary_text.delta", item_id="x", delta="a"),
    "function_call_arguments": event("response.function_call_arguments.delta", item_id="x", delta="{"),
    "native message": event("message.delta", content="a"),
    "native reasoning": event("reasoning.delta", content="a"),
    "half a character of native reasoning": event("reasoning.delta", content=HALF),
    "default event name": b"event: message\n" + delta(content="a"),
}
ITEM = {"type": "message", "content": [{"type": "output_text", "text": "all of it"}]}
STATS = {"input_tokens": 7, "total_output_tokens": 3}
OTHERS = {
    "role": delta(content=""),
    "role and no reasoning": delta(content="", reasoning_content=""),
    "null": delta(content=None, reasoning_content=None),
    "end": chunk(delta={}, finish_reason="stop"),
    "empty completions": chunk(text="", finish_reason="stop"),
    "signature_delta": block(type="signature_delta", signature="EqQBCgIYAhIM"),
    "empty text_delta": block(type="text_delta", text=""),
    "empty thinking_delta": block(type="thinking_delta", thinking=""),
    "empty input_json_delta": block(type="input_json_delta", partial_json=""),
    "content_block_start": event("content_block_start", content_block={"type": "thinking", "thinking": ""}),
    "message_delta": event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 3}),
    "empty output_text": event("response.output_text.delta", delta=""),
    "output_text.done": event("response.output_text.done", text="all of it"),
    "reasoning_text.done": event("response.reasoning_text.done", text="all of it"),
    "arguments.done": event("response.function_call_arguments.done", arguments="{}"),
    "output_item.done": event("response.output_item.done", item=ITEM),
    "completed": event("response.completed", response={"output": [ITEM], "usage": {"output_tokens": 3}}),
    "tool_call": event("tool_call.success", tool="x", arguments={"text": "a"}, output="[]"),
    "chat.end": event("chat.end", result={"output": [{"type": "message", "content": "all"}], "stats": STATS}),
    "ping": event("ping"),
    "comment": b": ping\n\n",
}


def seen(pieces: list[bytes]) -> int:
    meter = StreamMeter(strips=False)
    for piece in pieces:
        meter.feed(piece)
    meter.finish()
    return meter.count.seen


SPELLINGS = {
    "as it is": lambda event: event,
    "CRLF": lambda event: event.replace(b"\n", b"\r\n"),
    "spaces": lambda event: event.replace(b'":', b'" : '),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("kind", TOKENS | OTHERS)
def test_what_was_generated_is_counted_wherever_it_is_split(kind: str, spelling: str) -> None:
    """Text, reasoning and arguments, and neither an empty delta nor an event that repeats the whole text."""
    event = SPELLINGS[spelling]((TOKENS | OTHERS)[kind])
    expected = int(kind in TOKENS)
    assert seen([event] * 12) == 12 * expected
    for cut in range(1, len(event)):
        assert seen([event[:cut], event[cut:]]) == expected, event[:cut]


@pytest.mark.parametrize("kind", ["thinking_delta", "reasoning_text", "native reasoning"])
def test_the_name_may_be_only_in_the_data(kind: str) -> None:
    """Without `event:` lines, deltas count too."""
    _, data = TOKENS[kind].split(b"\n", 1)
    assert seen([data]) == 1


@pytest.mark.parametrize("kind", ["output_text.done", "chat.end"])
def test_a_repetition_is_recognised_without_an_event_line(kind: str) -> None:
    """Its text was counted when it was generated."""
    _, data = OTHERS[kind].split(b"\n", 1)
    assert seen([b"id: 7\n" + data]) == 0
