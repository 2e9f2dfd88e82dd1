"""The events that are parsed from LM Studio's log."""

from __future__ import annotations

import json
import tracemalloc

import msgspec
import pytest

from lmgateway.boxes.log.records import LINE_BYTES, LogReader
from lmgateway.observe.events import Event

STAMP = "2025-07-19 20:33:33"
SAMPLE = f"""\
[{STAMP}][INFO][LM STUDIO SERVER] Running chat completion on conversation with 9 messages.
[{STAMP}][DEBUG] Sampling params:\trepeat_last_n = 64, repeat_penalty = 1.100, frequency_penalty = 0.000, \
presence_penalty = 0.000
\tdry_multiplier = 0.000, dry_base = 1.750, dry_allowed_length = 2, dry_penalty_last_n = 4096
\ttop_k = 40, top_p = 1.000, min_p = 0.050, xtc_probability = 0.000, xtc_threshold = 0.100, \
typical_p = 1.000, top_n_sigma = -1.000, temp = 0.500
\tmirostat = 0, mirostat_lr = 0.100, mirostat_ent = 5.000
[{STAMP}][DEBUG] Sampling:\x20
logits → … → dist\x20
Generate: n_ctx = 4096, n_batch = 512, n_predict = 512, n_keep = 42
[{STAMP}][DEBUG] Looking for non-prefix contiguous prompt sequences …
Cache reuse summary: 939/939 of prompt (100%), 939 prefix, 0 non-prefix
Total prompt tokens: 939
Prompt tokens to decode: 1
[{STAMP}][DEBUG]\x20
BeginProcessingPrompt
[2025-07-19 20:33:34][INFO][model] Prompt processing progress: 36.6%
"""
SAMPLING = {
    "repeat_last_n": 64,
    "repeat_penalty": 1.1,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "dry_multiplier": 0,
    "dry_base": 1.75,
    "dry_allowed_length": 2,
    "dry_penalty_last_n": 4096,
    "top_k": 40,
    "top_p": 1,
    "min_p": 0.05,
    "xtc_probability": 0,
    "xtc_threshold": 0.1,
    "typical_p": 1,
    "top_n_sigma": -1,
    "temp": 0.5,
    "mirostat": 0,
    "mirostat_lr": 0.1,
    "mirostat_ent": 5,
}
GENERATE = "Generate: n_ctx = 4096, n_batch = 512, n_predict = -1, n_keep = 42"
GENERATED = {"n_ctx": 4096, "n_batch": 512, "n_predict": -1, "n_keep": 42}
CHAT = "Running chat completion on conversation with 9 messages."
CACHE = "Cache reuse summary: 69/147 of prompt (46.9388%), 69 prefix, 3 non-prefix"

Shown = list[tuple[str, dict[str, object]]]


def plain(events: list[Event]) -> Shown:
    """Events as a client gets them, without the timestamps of the gateway's own clock."""
    shown = []
    for event in events:
        fields = json.loads(msgspec.json.encode(event))
        if event.name != "debug_log" or "T" in fields["timestamp"]:
            assert fields.pop("timestamp").endswith("Z")
        shown.append((event.name, fields))
    return shown


def read(*pieces: str | bytes) -> Shown:
    reader = LogReader()
    events = [
        event
        for piece in pieces
        for event in reader.feed(piece.encode() if isinstance(piece, str) else piece)
    ]
    return plain(events + reader.end_file() + reader.settle())


def parsed(*pieces: str | bytes) -> Shown:
    return [(name, fields) for name, fields in read(*pieces) if name != "debug_log"]


def raws(events: Shown) -> list[object]:
    return [fields["raw"] for name, fields in events if name == "debug_log"]


@pytest.mark.parametrize("text", [SAMPLE, SAMPLE.replace("\n", "\r\n")], ids=["lf", "crlf"])
def test_the_sample(text: str):
    """Each event is published once, in order, with every value under its name."""
    assert parsed(text) == [
        ("lmstudio_chat_start", {"message": CHAT}),
        ("lmstudio_sampling_params", SAMPLING),
        (
            "lmstudio_cache_stats",
            {
                "reused": 939,
                "total": 939,
                "percentage": 100,
                "prefix": 939,
                "nonPrefix": 0,
                "message": "Cache reuse summary: 939/939 of prompt (100%), 939 prefix, 0 non-prefix",
            },
        ),
        (
            "lmstudio_token_info",
            {
                "n_ctx": 4096,
                "n_batch": 512,
                "n_predict": 512,
                "n_keep": 42,
                "totalPromptTokens": 939,
                "promptTokensToDecode": 1,
            },
        ),
        ("lmstudio_processing_start", {"message": "BeginProcessingPrompt"}),
        ("lmstudio_prompt_progress", {"progress": 36.6, "message": "Prompt processing progress: 36.6%"}),
    ]


def test_one_debug_log_a_line():
    """Each line is published unchanged, with the stamp and the level of its record."""
    logged = [fields for name, fields in read(SAMPLE) if name == "debug_log"]
    assert [fields["raw"] for fields in logged] == SAMPLE.split("\n")[:-1]
    assert logged[0] == {
        "timestamp": STAMP,
        "level": "INFO",
        "message": f"[LM STUDIO SERVER] {CHAT}",
        "raw": f"[{STAMP}][INFO][LM STUDIO SERVER] {CHAT}",
    }
    assert {(fields["timestamp"], fields["level"]) for fields in logged[1:-1]} == {(STAMP, "DEBUG")}
    assert logged[4]["message"] == "mirostat = 0, mirostat_lr = 0.100, mirostat_ent = 5.000"
    assert logged[-1]["timestamp"] == "2025-07-19 20:33:34"


def test_every_line_is_published_at_once():
    """A line and its event wait for nothing but the line's own end."""
    reader = LogReader()
    for line in SAMPLE.splitlines(keepends=True):
        assert reader.feed(line[:-1].encode()) == []
        assert raws(plain(reader.feed(b"\n"))) == [line[:-1]]
    assert plain(reader.feed(b"[2025-07-19 20:33:35][INFO][m] Prompt processing progress: 100.0%\n"))[-1] == (
        "lmstudio_prompt_progress",
        {"progress": 100, "message": "Prompt processing progress: 100.0%"},
    )


@pytest.mark.parametrize(
    ("text", "event"),
    [
        (f"[{STAMP}][INFO][org/model-7b] {CHAT}", ("lmstudio_chat_start", {"message": CHAT})),
        (f"[{STAMP}][INFO][LM STUDIO SERVER] [m] {CHAT}", ("lmstudio_chat_start", {"message": CHAT})),
        (f"\ufeff[{STAMP}][INFO] {CHAT}", ("lmstudio_chat_start", {"message": CHAT})),
        (f"[{STAMP}][DEBUG] \n {GENERATE}", ("lmstudio_token_info", GENERATED)),
        (f"[{STAMP}][DEBUG] Total prompt tokens: 7", ("lmstudio_token_info", {"totalPromptTokens": 7})),
        (
            f"[{STAMP}][DEBUG] Sampling params:\n[{STAMP}][DEBUG] top_k = 1\n\ttemp = 0.500",
            ("lmstudio_sampling_params", {"top_k": 1, "temp": 0.5}),
        ),
        (
            f"[{STAMP}][DEBUG] Sampling params:\ttop_k = 1\n[{STAMP}][DEBUG] other = 2",
            ("lmstudio_sampling_params", {"top_k": 1}),
        ),
        (
            f"[{STAMP}][DEBUG] Sampling params:\tname = 1, new_one = 1e-05, odd = inf, word = on, n = -1",
            ("lmstudio_sampling_params", {"name": 1, "new_one": 1e-5, "n": -1}),
        ),
        (
            CACHE,
            (
                "lmstudio_cache_stats",
                {"reused": 69, "total": 147, "percentage": 46.9388, "prefix": 69, "nonPrefix": 3}
                | {"message": CACHE},
            ),
        ),
        (
            "Cache reuse summary: 0/0 of prompt (-nan%), 0 prefix, 0 non-prefix",
            (
                "lmstudio_cache_stats",
                {"reused": 0, "total": 0, "percentage": 0, "prefix": 0, "nonPrefix": 0}
                | {"message": "Cache reuse summary: 0/0 of prompt (-nan%), 0 prefix, 0 non-prefix"},
            ),
        ),
    ],
)
def test_other_versions_of_lm_studio(text: str, event: tuple[str, dict[str, object]]):
    """Other prefixes, records cut otherwise, unknown parameters and odd numbers are understood."""
    assert parsed(text) == [event]


@pytest.mark.parametrize(
    ("line", "events"),
    [
        ("Generate: n_ctx = 1e300, n_batch = 512", [("lmstudio_token_info", {"n_batch": 512})]),
        ("Generate: n_ctx = -2, n_predict = -1", [("lmstudio_token_info", {"n_predict": -1})]),
        ("Generate: n_ctx = 4096.5, n_keep = 2.0", [("lmstudio_token_info", {"n_keep": 2})]),
        ("Total prompt tokens: 999999999999999999", []),
        ("Sampling params:\tseed = 99999999999999999, x = 1e308, top_k = 2e400", [
            ("lmstudio_sampling_params", {"x": 1e308})
        ]),
        ("Prompt processing progress: 999.9%", []),
        ("Prompt processing progress: 100.5%", [("lmstudio_prompt_progress", {"progress": 100.0})]),
        ("Cache reuse summary: 9/999999999999999999 of prompt (5%), 9 prefix, 0 non-prefix", []),
        ("Cache reuse summary: 9/3 of prompt (1e308%), 9 prefix, 0 non-prefix", [
            (
                "lmstudio_cache_stats",
                {"reused": 9, "total": 3, "percentage": 100.0, "prefix": 9, "nonPrefix": 0},
            )
        ]),
        ("Cache reuse summary: 1/4 of prompt (-5%), 1 prefix, 0 non-prefix", [
            (
                "lmstudio_cache_stats",
                {"reused": 1, "total": 4, "percentage": 25.0, "prefix": 1, "nonPrefix": 0},
            )
        ]),
    ],
)  # fmt: skip
def test_a_number_beyond_its_bounds_is_left_out(line: str, events: Shown):
    """An event with the whole number 1e300 would be 300 digits long; a progress goes to 100."""
    seen = parsed(f"{line}\n")
    assert [(name, {**fields, "message": None}) for name, fields in seen] == [
        (name, {**fields, "message": None}) for name, fields in events
    ]


def test_all_in_one_record():
    """Versions that write it all under one stamp give the same events."""
    unstamped = SAMPLE.replace(f"[{STAMP}][DEBUG] ", "").replace("\n\n", "\n")
    assert parsed(unstamped) == parsed(SAMPLE)


def test_records_that_stay_incomplete():
    """A quiet period publishes their values once; later values publish them again."""
    reader = LogReader()
    assert not reader.waiting
    reader.feed(f"[{STAMP}][DEBUG] Sampling params:\ttop_k = 1\n{GENERATE}\n".encode())
    assert reader.waiting
    assert plain(reader.settle()) == [("lmstudio_token_info", GENERATED)]
    assert not reader.waiting
    assert reader.settle() == []
    late = plain(reader.feed(b"Total prompt tokens: 9\nPrompt tokens to decode: 8\n"))
    assert late[-1] == (
        "lmstudio_token_info",
        {**GENERATED, "totalPromptTokens": 9, "promptTokensToDecode": 8},
    )
    assert not reader.waiting


def test_a_generation_that_never_got_further():
    """Its numbers are published without the missing ones, apart from the next generation's."""
    other = GENERATE.replace("42", "43")
    assert parsed(f"{GENERATE}\n{other}\nPrompt tokens to decode: 5\n") == [
        ("lmstudio_token_info", GENERATED),
        ("lmstudio_token_info", {**GENERATED, "n_keep": 43, "promptTokensToDecode": 5}),
    ]


@pytest.mark.parametrize(
    "text", [CHAT, CACHE, GENERATE, "BeginProcessingPrompt", "Sampling params: temp = 1"]
)
def test_quoted_text_makes_no_event(text: str):
    """A prompt or an answer that LM Studio quotes is not parsed as its own record."""
    body = json.dumps({"messages": [{"content": f"x\n{text}"}, text]}, indent=2)
    assert parsed(f"[{STAMP}][DEBUG] Received request: POST to /v1/x with body  {body}\n") == []
    assert parsed(f"[{STAMP}][INFO][m] Generated prediction: {text}\n") == []


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\xff\xfe\x00[",
        b"[2025-07-19 20:33:33",
        b"[2025-07-19 20:33:33][]",
        "[٢٠٢٥-07-19 20:33:33][INFO] x".encode(),
        b"one\x0bline\x0c\x1c\r still",
        "one\u2028line\x85".encode(),
        b"Sampling params: top_k = 99999999999999999999999999999, timestamp = 3, x = 1e999",
        b"Generate: n_ctx = many",
        b"Total prompt tokens: 99999999999999999999999999",
        b"Prompt processing progress: 1e999%",
        b"Prompt processing progress: .%",
        b"[" * 20_000,
        b"[a]" * 6_000 + b"[",
    ],
)
def test_a_bad_line_stops_nothing(line: bytes):
    """It stays one line, and the next one is parsed."""
    events = read(b"[2025-07-19 20:33:33][WARN] before\n" + line + b"\n" + SAMPLE.encode())
    assert len(raws(events)) == 2 + SAMPLE.count("\n")
    assert [fields for name, fields in events if name != "debug_log"][-6:] == [
        fields for _, fields in parsed(SAMPLE)
    ]


@pytest.mark.parametrize("piece", [1000, 10**7])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_line_has_a_bounded_length(piece: int, end: bytes):
    """The rest is dropped, and no character is cut in two."""
    fits, longer = b"x" * LINE_BYTES, "é".encode() * LINE_BYTES
    data = b"!" + fits[1:] + end + b"!" + longer + end + b"after" + end
    first, second, third = raws(read(*(data[at : at + piece] for at in range(0, len(data), piece))))
    assert first == "!" + "x" * (LINE_BYTES - 1)
    assert second == "!" + "é" * ((LINE_BYTES - 1) // 2) + "…"
    assert third == "after"


def test_a_line_without_an_end_costs_no_memory():
    """However long it grows."""
    reader, piece = LogReader(), b"x" * 2**20
    tracemalloc.start()
    try:
        for _ in range(50):
            assert reader.feed(piece) == []
        assert tracemalloc.get_traced_memory()[1] < 10 * len(piece)
    finally:
        tracemalloc.stop()


def test_a_last_line_without_an_end():
    """It is published when its file ends, not before."""
    reader = LogReader()
    assert reader.feed(b"half a line \xe2\x82") == []
    assert [event.raw for event in reader.end_file()] == ["half a line \ufffd"]
    assert reader.end_file() == []
