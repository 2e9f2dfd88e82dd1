"""LM Studio's errors, recognised by their sentences, which are those of reports in its bug tracker."""

from __future__ import annotations

import json

import pytest

from lmgateway.traffic.studio_errors import (
    Overflow,
    context_length_exceeded,
    is_unexpected_endpoint,
    is_unknown_model,
    overflow_of,
    sentence_of,
)

DOES_NOT_FIT = (
    "Input does not fit in context length. The input has 31430 tokens, but the context length only supports "
    "30000 tokens."
)
TOO_MUCH_TO_KEEP = (
    "The number of tokens to keep from the initial prompt is greater than the context length "
    "(n_keep: 13055>= n_ctx: 4096). Try to load the model with a larger context length, or provide a shorter "
    "input."
)
OLDER = (
    "Trying to keep the first 15857 tokens when context the overflows. However, the model is loaded with "
    "context length of only 4096 tokens, which is not enough. Try to load the model with a larger context "
    "length, or provide a shorter input. Error Data: n/a, Additional Data: n/a"
)
REACHED = (
    "Reached context length of 32000 tokens with model (arch: gpt-oss) that does not currently support "
    "mid-generation context overflow"
)
ONLY_CONTEXT = "This model's maximum context length is 30000 tokens."
EXCEEDED = "Context size has been exceeded."


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        (DOES_NOT_FIT, Overflow(31430, 30000)),
        (TOO_MUCH_TO_KEEP, Overflow(13055, 4096)),
        (OLDER, Overflow(15857, 4096)),
        (REACHED, Overflow(None, 32000)),
        (EXCEEDED, Overflow()),
    ],
)
def test_each_way_to_report_an_overflow(sentence: str, expected: Overflow) -> None:
    """With the numbers that the sentence has."""
    assert overflow_of(sentence) == expected


@pytest.mark.parametrize(
    "sentence",
    [
        None,
        "",
        f"The model says: {DOES_NOT_FIT}",
        "Input does not fit in context length.",
        f"{EXCEEDED} It was a long day.",
        "the request exceeds the available context size",
        "Model unloaded.",
    ],
)
def test_other_sentences_report_none(sentence: str | None) -> None:
    """Nothing else is an overflow, also a sentence that quotes one."""
    assert overflow_of(sentence) is None


def test_a_number_beyond_all_bounds_is_unknown() -> None:
    """What no context has is left out of the client's error."""
    assert overflow_of(DOES_NOT_FIT.replace("30000", "9" * 18)) == Overflow(31430, None)


@pytest.mark.parametrize(
    "payload",
    [
        {"error": EXCEEDED},
        {"error": {"message": EXCEEDED}, "message": EXCEEDED},
        {"error": {"message": EXCEEDED, "type": "invalid_request_error", "param": None, "code": None}},
        {"type": "error", "error": {"type": "api_error", "message": EXCEEDED}},
        {"type": "response.failed", "response": {"status": "failed", "error": {"message": EXCEEDED}}},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_the_sentence_of_each_shape(payload: object, indent: int | None) -> None:
    """Errors have another shape on each path, and may be pretty-printed."""
    assert sentence_of(json.dumps(payload, indent=indent).encode()) == EXCEEDED


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b'"error"',
        b'{"error": null}',
        b'{"error": 5}',
        b'{"error": {"code": 400}}',
        b'{"choices": [{"message": {"content": "Context size has been exceeded."}}]}',
        b'{"message": "Context size has been exceeded."}',
        b'{"error": "\xff"}',
        b"[" * 100_000,
    ],
)
def test_what_has_no_sentence(payload: bytes) -> None:
    """Words of an answer are never an error, and malformed JSON is nothing at all."""
    assert sentence_of(payload) is None


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("Unexpected endpoint or method. (GET /x)", True),
        ("Unexpected endpoint or method. (POST /v1/messages/count_tokens?beta=true)", True),
        ("Unexpected endpoint or method. (GET /x) Returning 200 anyway", False),
        ("He said: Unexpected endpoint or method. (GET /x)", False),
    ],
)
def test_an_endpoint_that_lm_studio_does_not_have(sentence: str, expected: bool) -> None:
    """Only the whole sentence counts."""
    assert is_unexpected_endpoint(sentence) is expected


@pytest.mark.parametrize(
    ("path", "overflow", "message"),
    [
        (
            "/v1/chat/completions",
            Overflow(31430, 30000),
            f"{ONLY_CONTEXT} However, your messages resulted in 31430 tokens.",
        ),
        (
            "/api/v0/chat/completions",
            Overflow(None, 30000),
            ONLY_CONTEXT,
        ),
        ("/v1/messages", Overflow(31430, 30000), "prompt is too long: 31430 tokens > 30000 maximum"),
        ("/v1/messages", Overflow(None, 30000), "prompt is too long"),
        ("/v1/messages", Overflow(), "prompt is too long"),
    ],
)
def test_the_words_that_clients_know(path: str, overflow: Overflow, message: str) -> None:
    """Each API's clients recognise its own sentence, and shorten the conversation."""
    error = context_length_exceeded(path, overflow)
    assert (error.message, error.status, error.code) == (message, 400, "context_length_exceeded")


@pytest.mark.parametrize(
    ("sentence", "name", "expected"),
    [
        (
            'Invalid model identifier "theirs". Please specify a valid downloaded model (e.g., a).',
            "theirs",
            True,
        ),
        ('Model "theirs" not found. Please specify a valid model.\n\nYour models:\n\na', "theirs", True),
        ('Invalid model identifier "theirs 2". Please specify a valid downloaded model.', "theirs", False),
        ('Invalid model identifier "a". Please specify a valid model (e.g., "theirs").', "theirs", False),
        ('Failed to load model "theirs". Error: no memory', "theirs", False),
        ('Model "theirs" not found.', None, False),
        (None, "theirs", False),
    ],
)
def test_a_name_that_lm_studio_does_not_know(sentence: str | None, name: str | None, expected: bool) -> None:
    """Only the name that was put into the request counts, and no other failure."""
    assert is_unknown_model(sentence, name) is expected
