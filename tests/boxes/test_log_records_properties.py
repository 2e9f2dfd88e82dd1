"""The events of LM Studio's log don't depend on how its bytes are cut."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from lmgateway.boxes.log.events import DebugLog
from lmgateway.boxes.log.records import LINE_BYTES, LogReader
from lmgateway.observe.events import Event
from tests.support.properties import checked, pieces_of

stamps = st.sampled_from(["[2025-07-19 20:33:33][DEBUG]", "[2025-07-19 20:33:34][INFO][LM STUDIO SERVER] "])
messages = st.sampled_from(
    [
        "Sampling params:\ttop_k = 40, top_p = 1.000",
        "\ttemp = 0.500, min_p = 0.050",
        "Generate: n_ctx = 4096, n_batch = 512, n_predict = -1, n_keep = 42",
        "Cache reuse summary: 69/147 of prompt (46.9388%), 69 prefix, 3 non-prefix",
        "Total prompt tokens: 939",
        "Prompt tokens to decode: 1",
        "Prompt processing progress: 36.6%",
        "Running chat completion on conversation with 9 messages.",
        "BeginProcessingPrompt",
        "slot update_slots: id  2 | task 163 | new prompt, n_ctx_slot = 96, n_keep = 50, task.n_tokens = 50",
        "slot print_timing: id  2 | task 163 |",
        "prompt eval time =     500.00 ms /    40 tokens",
        "Received request: POST to /v1/x with body {",
        "}",
        "",
    ]
) | st.text(max_size=60)
ends = st.sampled_from(["\n", "\n", "\r\n", "\r", "\u2028\n", "\x0b"])
lines = st.builds("{}{}{}".format, st.just("") | stamps, messages, ends).map(str.encode)
logs = st.lists(lines | st.sampled_from([b"\xff\n", b"\xf0\x9f", b"\xef\xbb\xbf", b"x" * 50]), max_size=12)


def plain(event: Event) -> tuple[str, dict[str, Any]]:
    fields = msgspec.to_builtins(event)
    if "T" in fields["timestamp"]:
        # The time when it was read, not the log's own.
        del fields["timestamp"]
    return event.name, fields


def read(pieces: list[bytes], limit: int) -> list[tuple[str, dict[str, Any]]]:
    reader = LogReader(line_bytes=limit)
    events = [event for piece in pieces for event in reader.feed(piece)]
    return [plain(event) for event in (*events, *reader.end_file(), *reader.settle())]


@checked
@given(st.data(), logs.map(b"".join), st.sampled_from([20, 52, LINE_BYTES]))
def test_events_are_the_same_wherever_the_log_is_cut(data: st.DataObject, log: bytes, limit: int) -> None:
    """Also inside characters and line ends, and in lines longer than the limit."""
    assert read(data.draw(pieces_of(log)), limit) == read([log], limit)


@checked
@given(st.data(), logs.map(b"".join))
def test_every_line_is_published_once_and_in_order(data: st.DataObject, log: bytes) -> None:
    """A quiet period in between adds and loses no line."""
    reader, raws = LogReader(), []
    for piece in data.draw(pieces_of(log)):
        for event in (*reader.feed(piece), *reader.settle()):
            raws += [event.raw] if isinstance(event, DebugLog) else []
    whole = [text.removesuffix(b"\r").decode("utf-8", "replace") for text in log.split(b"\n")[:-1]]
    assert raws == [text.removeprefix("\ufeff") for text in whole]
