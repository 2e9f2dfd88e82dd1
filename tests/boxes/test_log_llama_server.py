"""The lines that LM Studio 0.4 and its engines write, as reports of 0.4.x show them, and their events."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmgateway.boxes.log.events import DebugLog
from lmgateway.boxes.log.records import LogReader
from tests.boxes.following import FIRST, Following
from tests.boxes.test_log_records import Shown, parsed, raws, read
from tests.support.properties import checked
from tests.support.waiting import until

STAMP = "2026-04-05 10:00:00"
CLOCK = "68.12.346.139 I "
LAUNCH = "slot launch_slot_: id  2 | task 163 | processing task, is_child = 0"
PROMPT = (
    "slot update_slots: id  2 | task 163 | new prompt, n_ctx_slot = 32768, n_keep = 50, task.n_tokens = 50"
)
TIMES = """\
slot print_timing: id  2 | task 163 |
prompt eval time =     500.00 ms /    50 tokens (   10.00 ms per token,   100.00 tokens per second)
       eval time =    4000.00 ms /   200 tokens (   20.00 ms per token,    50.00 tokens per second)
      total time =    4500.00 ms /   250 tokens"""
RELEASE = "slot      release: id  2 | task 163 | stop processing: n_tokens = 250, truncated = 0"
PROGRESS = (
    "slot print_timing: id  0 | task 312 | prompt processing, n_tokens =  10082, progress = 1.00, "
    "t = 3392.10 s / 2.97 tokens per second"
)
CHAT = "Running chat completion on conversation with 3 messages."
BODY = {"model": "gemma-4-31b", "messages": [{"role": "user", "content": f"x\n{CHAT}"}]}
SAMPLE = f"""\
[{STAMP}][DEBUG] Received request: POST to /v1/chat/completions with body {json.dumps(BODY, indent=2)}
[{STAMP}][INFO][gemma-4-31b] {CHAT}
[{STAMP}][INFO][gemma-4-31b] Streaming response...
[{STAMP}][DEBUG] LlamaV4::predict slot selection: session_id=<empty> server-selected (LCP/LRU)
{LAUNCH}
[{STAMP}][DEBUG] LlamaV4: server assigned slot 2 to ta
[{STAMP}][DEBUG] sk 163
{PROMPT}
[{STAMP}][INFO][gemma-4-31b] Prompt processing progress: 37.5%
[{STAMP}][DEBUG] {CLOCK}{PROGRESS}
[{STAMP}][INFO][gemma-4-31b] First token generated. Continuing to stream response..
[{STAMP}][DEBUG] {TIMES}
{RELEASE}
[{STAMP}][INFO][gemma-4-31b] Finished streaming response
[{STAMP}][ERROR] Unexpected endpoint or method. (HEAD /). Returning 200 anyway
[{STAMP}][DEBUG] [Client=OM2f][Endpoint=listLoaded] Listing loaded models
"""
ASKED = {"n_ctx": 32768, "n_keep": 50, "totalPromptTokens": 50}
EVALUATED = TIMES.split("\n")[1]


def start(message: str) -> tuple[str, dict[str, object]]:
    return "lmstudio_chat_start", {"message": message}


def cached(reused: int, total: int, percentage: float, message: str) -> tuple[str, dict[str, object]]:
    """The engines of 0.4 log one number of cached tokens, which are the prompt's first ones."""
    shares = {"percentage": percentage, "prefix": reused, "nonPrefix": 0}
    return "lmstudio_cache_stats", {"reused": reused, "total": total, **shares, "message": message}


EXPECTED = [
    start(CHAT),
    ("lmstudio_processing_start", {"message": LAUNCH}),
    ("lmstudio_token_info", ASKED),
    ("lmstudio_prompt_progress", {"progress": 37.5, "message": "Prompt processing progress: 37.5%"}),
    ("lmstudio_prompt_progress", {"progress": 100.0, "message": PROGRESS}),
    cached(0, 50, 0, EVALUATED),
    ("lmstudio_token_info", {**ASKED, "promptTokensToDecode": 50}),
]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("cut", [1, 7, 10**6])
def test_a_request_to_a_gguf_model(end: str, cut: int):
    """Its lines become the events of the earlier engine's lines, wherever the log is cut."""
    data = SAMPLE.replace("\n", end).encode()
    assert parsed(*(data[at : at + cut] for at in range(0, len(data), cut))) == EXPECTED


async def test_the_lines_of_a_file(followed: Following):
    """A follower publishes them as they are written, each line once."""
    followed.write(FIRST, SAMPLE)
    lines = SAMPLE.count("\n")
    await until(lambda: len(followed.events) == lines + len(EXPECTED))
    assert [fields["raw"] for name, fields in followed.events if name == "debug_log"] == SAMPLE.splitlines()
    shown = [(name, fields) for name, fields in followed.events if name != "debug_log"]
    assert [name for name, _ in shown] == [name for name, _ in EXPECTED]
    assert [{**fields, "timestamp": ""} for _, fields in shown] == [
        {**fields, "timestamp": ""} for _, fields in EXPECTED
    ]


@pytest.mark.parametrize(
    "message",
    [
        CHAT,
        "Running Anthropic messages API on conversation with 3 messages.",
        "Generating synchronous v1/responses response...",
    ],
)
@pytest.mark.parametrize("source", ["[gemma-4-31b] ", "[openai/gpt-oss-120b] ", " "])
def test_each_api_has_a_line_for_its_start(message: str, source: str):
    """/v1/chat/completions, /v1/messages and /v1/responses."""
    assert parsed(f"[{STAMP}][INFO]{source}{message}\n") == [start(message)]


@pytest.mark.parametrize("prefix", ["", f"[{STAMP}][DEBUG] ", CLOCK, f"[{STAMP}][DEBUG] {CLOCK}"])
@pytest.mark.parametrize("line", [LAUNCH, PROMPT, PROGRESS])
def test_a_line_stands_alone_or_in_a_record(prefix: str, line: str):
    """With or without a stamp and llama-server's own clock."""
    (event,) = parsed(f"[{STAMP}][DEBUG] LlamaV4::predict\n{prefix}{line}\n")
    assert event in EXPECTED


def prompt_of(slot: int, task: int, tokens: int) -> str:
    return (
        f"slot update_slots: id {slot:2} | task {task} | new prompt, n_ctx_slot = 8192, n_keep = 0, "
        f"task.n_tokens = {tokens}\n"
    )


def time_of(slot: int, task: int, tokens: int) -> str:
    return (
        f"[{STAMP}][DEBUG] slot print_timing: id {slot:2} | task {task} | \n"
        f"prompt eval time = 1.00 ms / {tokens:5} tokens (x)\n"
    )


def counts(text: str) -> list[tuple[object, object]]:
    """The reused and the total tokens of each event about a cache."""
    seen = (fields for name, fields in parsed(text) if name == "lmstudio_cache_stats")
    return [(fields["reused"], fields["total"]) for fields in seen]


def test_what_came_from_the_cache():
    """It is what the prompt has and the engine didn't read."""
    text = prompt_of(2, 163, 17_432) + time_of(2, 163, 24)
    assert counts(text) == [(17_408, 17_432)]
    (_, fields) = next(one for one in parsed(text) if one[0] == "lmstudio_cache_stats")
    assert (fields["prefix"], fields["nonPrefix"]) == (17_408, 0)
    assert fields["percentage"] == pytest.approx(99.862, abs=0.001)
    assert parsed(text)[-1] == (
        "lmstudio_token_info",
        {"n_ctx": 8192, "n_keep": 0, "totalPromptTokens": 17_432, "promptTokensToDecode": 24},
    )


def test_tasks_at_the_same_time_arent_mixed_up():
    """Four slots are the default, and each one's lines name its task."""
    text = prompt_of(0, 10, 100) + prompt_of(1, 11, 1000) + time_of(1, 11, 400) + time_of(0, 10, 100)
    assert counts(text) == [(600, 1000), (0, 100)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (time_of(0, 10, 7), [("lmstudio_token_info", {"promptTokensToDecode": 7})]),
        ("prompt eval time = 1.00 ms / 7 tokens\n", []),
        (f"{time_of(0, 10, 7)}prompt eval time = 1.00 ms / 9 tokens\n", [
            ("lmstudio_token_info", {"promptTokensToDecode": 7})
        ]),
        (f"slot print_timing: id  0 | task 1 |\nother\n{EVALUATED}\n", []),
        ("slot print_timing: id  0 | task 1 |\nprompt eval time = 1.00 ms / 9999999999 tokens\n", []),
        ("slot update_slots: id  0 | task 1 | new prompt, n_ctx_slot = 1e300\n", []),
        ("slot update_slots: id  0 | task 1 | new prompt, n_ctx_slot = -9, n_keep = 4\n", [
            ("lmstudio_token_info", {"n_keep": 4})
        ]),
        ("slot launch_slot_: id  0 | task -1 | other\n", []),
        ("slot print_timing: id  0 | task 1 | prompt processing, progress = 9.00\n", []),
        ("x slot launch_slot_: id  2 | task 163 | processing task\n", []),
        ("Prompt cache restore: cached_tokens=many uncached_tokens=24\n", []),
        ("Prompt cache restore: cached_tokens=1 uncached_tokens=99999999999999999999\n", []),
    ],
)  # fmt: skip
def test_lines_that_are_incomplete_or_odd(text: str, expected: Shown):
    """What isn't known is left out; nothing is made up."""
    assert parsed(text) == expected


def test_a_timing_that_fits_no_prompt():
    """More tokens read than the prompt has, as from another engine's task of the same number."""
    assert counts(prompt_of(0, 10, 5) + time_of(0, 10, 7)) == []


def test_an_mlx_models_cache():
    """Its engine logs what was cached and what wasn't."""
    line = "Prompt cache restore: cached_tokens=17408 uncached_tokens=24"
    (event,) = parsed(f"[{STAMP}][INFO][mlx-model] {line}\n")
    assert event == cached(17_408, 17_432, event[1]["percentage"], line)  # type: ignore[arg-type]
    assert event[1]["percentage"] == pytest.approx(99.862, abs=0.001)
    (event,) = parsed("Prompt cache restore: cached_tokens=0 uncached_tokens=0\n")
    assert event[1]["percentage"] == 0


IMITATIONS = [
    CHAT,
    LAUNCH,
    PROMPT,
    f"{prompt_of(1, 2, 3)}{time_of(1, 2, 3)}",
    "Prompt processing progress: 37.5%",
    "Generate: n_ctx = 4096, n_batch = 512, n_predict = -1, n_keep = 42",
    "Prompt tokens to decode: 5",
    "Sampling params: temp = 1\n\ttop_k = 3",
    f"[{STAMP}][INFO][model] {CHAT}",
    f"[{STAMP}][DEBUG] Received request: POST to /v1/x with body {{\n  }}\n{CHAT}",
]


@pytest.mark.parametrize("text", IMITATIONS)
@pytest.mark.parametrize(
    "heading",
    [
        "[DEBUG] Received request: POST to /v1/chat/completions with body ",
        "[INFO][gemma-4-31b] Generated prediction:  ",
    ],
)
def test_an_imitated_line_makes_no_event(heading: str, text: str):
    """Not in a body or an answer, up to the line that is only a brace; the lines after it count again."""
    quoted = f'[{STAMP}]{heading}{{\n  "content": "\n{text}\n  }}\n}} \n\t}}\n}}\n'
    assert parsed(quoted) == []
    assert len(raws(read(quoted))) == quoted.count("\n")
    assert parsed(f"{quoted}[{STAMP}][INFO][m] {CHAT}\n") == [start(CHAT)]
    assert parsed(f"[{STAMP}]{heading}{{}}\n[{STAMP}][INFO][m] {CHAT}\n") == [start(CHAT)]


def test_a_body_whose_end_was_lost_ends_with_its_file():
    """As when LM Studio was killed while it wrote."""
    reader = LogReader()
    reader.feed(f"[{STAMP}][DEBUG] Received request: POST to /v1/x with body {{\n  half".encode())
    reader.end_file()
    assert [event.name for event in reader.feed(f"{CHAT}\n".encode())] == ["debug_log", "lmstudio_chat_start"]


def test_tasks_that_never_end_take_no_memory():
    """An engine that crashes doesn't release its slots."""
    reader = LogReader()
    tracemalloc.start()
    try:
        for task in range(20_000):
            reader.feed(prompt_of(task % 4, task, 9).encode())
        assert tracemalloc.get_traced_memory()[0] < 200_000
    finally:
        tracemalloc.stop()


pieces = st.sampled_from([
    *("slot ", "print_timing: ", "update_slots: ", "launch_slot_: ", "release: ", "id  2 | ", "task 163 |"),
    *(" new prompt, ", "n_ctx_slot = ", "task.n_tokens = ", "progress = ", " prompt processing, "),
    *("50", "-1", "prompt eval time = ", "1.00 ms / ", " tokens", "9" * 30, "1e999", "nan", "\n", CLOCK),
    *("[", "{", "}", LAUNCH, PROMPT, PROGRESS, TIMES, RELEASE, CHAT, "Prompt cache restore: cached_tokens="),
    *(" uncached_tokens=", f"[{STAMP}][DEBUG] ", "Received request: x {", "Generated prediction: {"),
]) | st.text(max_size=5)  # fmt: skip


@checked
@given(st.lists(pieces, max_size=40).map("".join))
def test_garbage_stops_nothing(garbage: str) -> None:
    """Every line is published, and the next request is read as usual, once a new file has begun."""
    reader = LogReader()
    events = reader.feed(garbage.encode()) + reader.end_file()
    expected = [line.removesuffix("\r").removeprefix("\ufeff") for line in garbage.split("\n")]
    assert [event.raw for event in events if isinstance(event, DebugLog)] == (
        expected if expected[-1] or garbage.endswith("\r") else expected[:-1]
    )
    reader.settle()
    names = [event.name for event in reader.feed(SAMPLE.encode()) if event.name != "debug_log"]
    assert names[-len(EXPECTED) :] == [name for name, _ in EXPECTED]
