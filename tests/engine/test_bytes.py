"""What llama.cpp's server sends, and what the gateway's client receives."""

from __future__ import annotations

import json

import pytest

from tests.engine.conftest import CONTEXT_TOKENS, EMBEDDING, Setup

pytestmark = pytest.mark.long

CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
MESSAGES = {"messages": [{"role": "user", "content": "Count from one to ten."}]}
PROMPT = {"prompt": "One, two, three,"}
STREAM = {"stream": True}
WITH_USAGE = {**STREAM, "stream_options": {"include_usage": True}}
# The same words each time, and no end before max_tokens.
FIXED = {"temperature": 0, "seed": 1, "max_tokens": 24, "ignore_eos": True}
EVENT, DONE = b"data: ", b"\n\ndata: [DONE]\n\n"


def body_of(*parts: dict[str, object]) -> bytes:
    return json.dumps({key: value for part in parts for key, value in part.items()}).encode()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, body_of(MESSAGES, FIXED)),
        (CHAT, body_of(MESSAGES, FIXED, WITH_USAGE)),
        (COMPLETIONS, body_of(PROMPT, FIXED)),
        (COMPLETIONS, body_of(PROMPT, FIXED, WITH_USAGE)),
        ("/v1/messages", body_of(MESSAGES, FIXED, STREAM)),
        ("/v1/responses", body_of({"input": "Count.", "max_output_tokens": 24}, STREAM)),
        ("/v1/models/no-such-model", b"{}"),
    ],
)
async def test_bodies_pass_unchanged(setup: Setup, path: str, body: bytes) -> None:
    """Request and response are the same on both sides of the gateway, byte for byte."""
    received = await setup.ask(path, body)
    request, sent = await setup.relay.exchange(path)
    assert request.body == body
    assert (received.status, received.one("Content-Type")) == (sent.status, sent.one("Content-Type"))
    assert received.body == sent.body
    assert received.status == (404 if body == b"{}" else 200)


async def test_only_usage_is_taken_out(setup: Setup) -> None:
    """Of a stream whose usage only the gateway asked for, everything else arrives, `timings` too."""
    received = await setup.ask(CHAT, body_of(MESSAGES, FIXED, STREAM))
    request, sent = await setup.relay.exchange(CHAT)
    assert json.loads(request.body)["stream_options"] == {"include_usage": True}
    *sent_others, sent_last = sent.body.removesuffix(DONE).split(EVENT)
    *others, last = received.body.removesuffix(DONE).split(EVENT)
    assert others == sent_others
    data = json.loads(sent_last)
    assert data.pop("usage")["completion_tokens"] == data["timings"]["predicted_n"] == FIXED["max_tokens"]
    assert json.loads(last) == data


async def test_usage_that_nobody_asked_for_stays(setup: Setup) -> None:
    """/v1/completions has usage in its last piece of text, asked for or not, and so has what arrives."""
    received = await setup.ask(COMPLETIONS, body_of(PROMPT, FIXED, STREAM))
    _, sent = await setup.relay.exchange(COMPLETIONS)
    assert received.body == sent.body
    last = json.loads(received.body.removesuffix(DONE).split(EVENT)[-1])
    assert last["usage"]["completion_tokens"] == FIXED["max_tokens"]


async def test_its_overflow_passes_unchanged(setup: Setup) -> None:
    """llama.cpp's own 400 says that a prompt is too long. It isn't LM Studio's sentence."""
    body = body_of({"prompt": "one " * (CONTEXT_TOKENS + 1)}, FIXED, WITH_USAGE)
    received = await setup.ask(COMPLETIONS, body)
    _, sent = await setup.relay.exchange(COMPLETIONS)
    assert (received.status, received.body) == (400, sent.body)
    error = json.loads(received.body)["error"]
    assert (error["type"], error["n_ctx"]) == ("exceed_context_size_error", CONTEXT_TOKENS)
    assert "exceeds the available context size" in error["message"]


@pytest.mark.parametrize("parameters", [EMBEDDING])
async def test_vectors_pass_unchanged(setup: Setup) -> None:
    """Embeddings are the same on both sides, byte for byte."""
    body = body_of({"input": ["One.", "Two."]})
    received = await setup.ask(EMBEDDINGS, body)
    request, sent = await setup.relay.exchange(EMBEDDINGS)
    assert (request.body, received.body) == (body, sent.body)
    assert [len(item["embedding"]) > 0 for item in json.loads(received.body)["data"]] == [True, True]
