"""LM Studio's answers that say something else than their status: each reaches the client as what it means."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.upstream import STREAM_HEAD, Received, Script, ScriptedUpstream, answer, chunk

M, N = 31430, 30000
SENTENCE = (
    f"Input does not fit in context length. The input has {M} tokens, but the context length only supports "
    f"{N} tokens."
)
TOO_MUCH_TO_KEEP = (
    f"The number of tokens to keep from the initial prompt is greater than the context length (n_keep: {M}>= "
    f"n_ctx: {N}). Try to load the model with a larger context length, or provide a shorter input."
)
REACHED = (
    f"Reached context length of {N} tokens with model (arch: gpt-oss) that does not currently support "
    "mid-generation context overflow"
)
OPENAI = f"This model's maximum context length is {N} tokens. However, your messages resulted in {M} tokens."
ANTHROPIC = f"prompt is too long: {M} tokens > {N} maximum"
CHAT, MESSAGES, RESPONSES, NATIVE = "/v1/chat/completions", "/v1/messages", "/v1/responses", "/api/v1/chat"
TOKEN = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}\n\n'
DONE = b"data: [DONE]\n\n"


def event(content: object, name: str = "error") -> bytes:
    return f"event: {name}\ndata: {json.dumps(content)}\n\n".encode()


def usage(prompt: int, completion: int = 0) -> bytes:
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return b"data: " + json.dumps({"choices": [], "usage": counts}).encode() + b"\n\n"


def studio_error(sentence: str) -> bytes:
    """LM Studio's error event in a stream of a chat."""
    return event({"error": {"message": sentence}, "message": sentence})


def stream(*pieces: bytes, gate: asyncio.Semaphore | None = None) -> Script:
    """Send each piece by itself; with a gate, each but the first waits for it."""

    async def script(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        for number, piece in enumerate(pieces):
            if number and gate is not None:
                await gate.acquire()
            writer.write(chunk(piece))
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    return script


def with_context(script: Script, context: int) -> Script:
    """Answer the question for the loaded models too."""
    models = {"data": [{"id": "m", "state": "loaded", "loaded_context_length": context}], "object": "list"}

    async def both(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = request.target.startswith("/api/v0/models")
        await (answer(json.dumps(models).encode()) if asked else script)(request, reader, writer)

    return both


async def ask(gateway: Gateway, path: str, **more: object) -> tuple[int, Any]:
    body = {"model": "m", "messages": [], "input": "", **more}
    async with gateway.client.post(gateway.url(path), json=body) as response:
        return response.status, await response.json()


async def read_until_broken(gateway: Gateway, path: str, gate: asyncio.Semaphore) -> bytes:
    """Open the gate after the first piece; return what was sent before the connection was broken off."""
    received = bytearray()
    body = {"model": "m", "messages": [], "input": "", "stream": True}
    async with gateway.client.post(gateway.url(path), json=body) as response:
        assert response.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            async for piece in response.content.iter_any():
                received += piece
                for _ in range(3):
                    gate.release()
    return bytes(received)


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        (CHAT, "400 Bad Request", {"error": TOO_MUCH_TO_KEEP}),
        ("/api/v0/chat/completions", "400 Bad Request", {"error": TOO_MUCH_TO_KEEP}),
        (
            RESPONSES,
            "400 Bad Request",
            {"error": {"message": SENTENCE, "type": "x", "param": None, "code": None}},
        ),
        (NATIVE, "500 Internal Server Error", {"error": {"type": "internal_error", "message": SENTENCE}}),
        (CHAT, "500 Internal Server Error", {"error": {"message": SENTENCE}}),
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
async def test_an_overflow_is_one_error_on_every_path(
    start_gateway: StartGateway,
    upstream: ScriptedUpstream,
    path: str,
    status: str,
    body: object,
    indent: int | None,
) -> None:
    """Whatever its shape, status 400 with both numbers; never a 5xx, which clients repeat."""
    upstream.script = answer(json.dumps(body, indent=indent).encode(), status=status)
    got, error = await ask(await start_gateway(upstream.base_url), path)
    assert (got, error["error"]["code"], error["error"]["message"]) == (
        400,
        "context_length_exceeded",
        OPENAI,
    )
    assert len(upstream.received) == 1


async def test_an_overflow_of_messages_has_anthropics_words(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """LM Studio's 500 would be repeated ten times."""
    body = {"type": "error", "error": {"type": "api_error", "message": TOO_MUCH_TO_KEEP}}
    upstream.script = answer(json.dumps(body).encode(), status="500 Internal Server Error")
    status, error = await ask(await start_gateway(upstream.base_url), MESSAGES)
    assert (status, error["error"]) == (400, {"type": "invalid_request_error", "message": ANTHROPIC})


@pytest.mark.parametrize(
    ("path", "first"),
    [
        (CHAT, studio_error(SENTENCE)),
        (CHAT, b'data: {"choices":[{"delta":{"role":"assistant"}}]}\n\n' + studio_error(SENTENCE)),
        (MESSAGES, event({"type": "error", "error": {"type": "api_error", "message": SENTENCE}})),
        (RESPONSES, event({"type": "response.failed", "response": {"error": {"message": SENTENCE}}})),
        (NATIVE, event({"type": "error", "error": {"message": SENTENCE}})),
    ],
)
async def test_a_stream_that_begins_with_an_overflow_is_no_stream(
    start_gateway: StartGateway, upstream: ScriptedUpstream, path: str, first: bytes
) -> None:
    """The 200 of LM Studio isn't sent on."""
    upstream.script = stream(first)
    status, error = await ask(await start_gateway(upstream.base_url), path, stream=True)
    assert status == 400
    assert error["error"]["message"] == (ANTHROPIC if path == MESSAGES else OPENAI)


@pytest.mark.parametrize("pieces", [(FINISH + usage(N) + DONE,), (FINISH, usage(N), DONE)])
async def test_a_stream_without_any_token_is_an_overflow_if_the_prompt_fills_the_context(
    start_gateway: StartGateway, upstream: ScriptedUpstream, pieces: tuple[bytes, ...]
) -> None:
    """Before the head it is an error of its own, after it the last event before the connection breaks."""
    upstream.script = with_context(stream(*pieces), N)
    gateway = await start_gateway(upstream.base_url)
    body = {"model": "m", "messages": [], "stream": True}
    async with gateway.client.post(gateway.url(CHAT), json=body) as response:
        if response.status == 200:
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
        else:
            assert response.status == 400
            error = (await response.json())["error"]
            assert error["code"] == "context_length_exceeded"
            assert f"is {N} tokens. However, your messages resulted in {N} tokens." in error["message"]


@pytest.mark.parametrize(("prompt", "completion", "context"), [(N - 1, 0, N), (N, 3, N), (N, 0, N + 1)])
async def test_other_empty_streams_end_as_they_did(
    start_gateway: StartGateway, upstream: ScriptedUpstream, prompt: int, completion: int, context: int
) -> None:
    """A model may say nothing."""
    upstream.script = with_context(stream(FINISH, usage(prompt, completion), DONE), context)
    gateway = await start_gateway(upstream.base_url)
    body = {"model": "m", "messages": [], "stream": True, "stream_options": {"include_usage": True}}
    async with gateway.client.post(gateway.url(CHAT), json=body) as response:
        assert await response.read() == FINISH + usage(prompt, completion) + DONE


async def test_an_empty_plain_answer_is_an_overflow_if_the_prompt_fills_the_context(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """It is well-formed, with status 200."""
    message = {"role": "assistant", "content": ""}
    counts = {"prompt_tokens": M, "completion_tokens": 0, "total_tokens": M}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "length"}], "usage": counts}
    upstream.script = with_context(answer(json.dumps(body, indent=2).encode()), N)
    status, error = await ask(await start_gateway(upstream.base_url), CHAT)
    assert (status, error["error"]["message"]) == (400, OPENAI)


TYPE = b'"type":"invalid_request_error"'
ERROR_EVENTS = {
    CHAT: b'data: {"error":{"message":"%s",' + TYPE + b',"param":null,"code":"%s"}}\n\n',
    NATIVE: b'event: error\ndata: {"type":"error","error":{"message":"%s",' + TYPE + b',"code":"%s"}}\n\n',
}


@pytest.mark.parametrize("path", [CHAT, NATIVE])
@pytest.mark.parametrize("cut", [6, 20])
async def test_an_overflow_in_mid_generation_ends_the_stream(
    start_gateway: StartGateway, upstream: ScriptedUpstream, path: str, cut: int
) -> None:
    """Once the head is out: the protocol's own error event, once, and a broken connection."""
    gate = asyncio.Semaphore(0)
    error = studio_error(REACHED)
    upstream.script = stream(TOKEN, error[:cut], error[cut:] + FINISH + DONE, gate=gate)
    received = await read_until_broken(await start_gateway(upstream.base_url), path, gate)
    message = b"This model's maximum context length is %d tokens." % N
    assert received == TOKEN + ERROR_EVENTS[path] % (message, b"context_length_exceeded")


async def test_an_overflow_in_mid_generation_of_messages_and_responses(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """In Anthropic's form, and in the one that Codex reads."""
    gate = asyncio.Semaphore(0)
    begins = event({"type": "message_start", "message": {}}, "message_start")
    upstream.script = stream(begins, event({"type": "error", "error": {"message": REACHED}}), gate=gate)
    gateway = await start_gateway(upstream.base_url)
    received = await read_until_broken(gateway, MESSAGES, gate)
    name, data = received.removeprefix(begins).decode().strip().split("\n")
    error = json.loads(data.removeprefix("data: "))
    assert (name, error["type"]) == ("event: error", "error")
    assert error["error"] == {"type": "invalid_request_error", "message": "prompt is too long"}
    while not gate.locked():
        await gate.acquire()
    received = await read_until_broken(gateway, RESPONSES, gate)
    name, data = received.removeprefix(begins).decode().strip().split("\n")
    failed = json.loads(data.removeprefix("data: "))
    assert (name, failed["type"]) == ("event: response.failed", "response.failed")
    assert failed["response"]["error"]["code"] == "context_length_exceeded"


async def test_words_of_an_answer_are_no_overflow(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """A model may quote each sentence."""
    quoted = b'data: {"choices":[{"delta":{"content":"{\\"error\\": \\"%s\\"}"}}]}\n\n' % SENTENCE.encode()
    upstream.script = stream(quoted, FINISH, DONE)
    gateway = await start_gateway(upstream.base_url)
    body = {"model": "m", "messages": [], "stream": True}
    async with gateway.client.post(gateway.url(CHAT), json=body) as response:
        assert await response.read() == quoted + FINISH + DONE


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        ("POST", "/v1/audio/speech", "LM Studio has no endpoint POST /v1/audio/speech."),
        ("GET", "/v1/responses/resp_1?x=1", "LM Studio has no endpoint GET /v1/responses/resp_1."),
        ("DELETE", "/api/v0/nothing", "LM Studio has no endpoint DELETE /api/v0/nothing."),
    ],
)
async def test_an_endpoint_that_lm_studio_lacks_is_a_404(
    start_gateway: StartGateway,
    upstream: ScriptedUpstream,
    method: str,
    path: str,
    message: str,
    indent: int | None,
) -> None:
    """LM Studio answers with 200, which a client would take for sound or for a result."""
    body = {"error": f"Unexpected endpoint or method. ({method} {path})"}
    upstream.script = answer(json.dumps(body, indent=indent).encode())
    gateway = await start_gateway(upstream.base_url)
    async with gateway.client.request(method, gateway.url(path)) as response:
        assert response.status == 404
        assert (await response.json())["error"]["message"] == message


@pytest.mark.parametrize(("indent", "status"), [(None, 404), (2, 404), (4, 200)])
async def test_a_head_request_for_a_missing_endpoint(
    start_gateway: StartGateway, upstream: ScriptedUpstream, indent: int | None, status: int
) -> None:
    """Its answer has no body, only the length of the one that a GET request would get."""
    body = json.dumps({"error": "Unexpected endpoint or method. (HEAD /v1/nothing?a=b)"}, indent=indent)
    if indent is None:
        body = body.replace(": ", ":", 1)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"

    async def script(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head.encode())

    upstream.script = script
    gateway = await start_gateway(upstream.base_url)
    async with gateway.client.head(gateway.url("/v1/nothing?a=b")) as response:
        assert response.status == status


async def test_nothing_is_mended_if_the_configuration_says_so(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """compat.mend = false leaves every answer as LM Studio sent it."""
    gateway = await start_gateway(upstream.base_url, compat={"mend": False})
    for body, status in (
        ({"error": TOO_MUCH_TO_KEEP}, "400 Bad Request"),
        ({"error": SENTENCE}, "500 Failed"),
    ):
        upstream.script = answer(json.dumps(body).encode(), status=status)
        assert await ask(gateway, CHAT) == (int(status[:3]), body)
    unexpected = {"error": "Unexpected endpoint or method. (POST /v1/audio/speech)"}
    upstream.script = answer(json.dumps(unexpected).encode())
    assert await ask(gateway, "/v1/audio/speech") == (200, unexpected)
    upstream.script = stream(studio_error(SENTENCE))
    async with gateway.client.post(gateway.url(CHAT), json={"stream": True}) as response:
        assert (response.status, await response.read()) == (200, studio_error(SENTENCE))


async def test_a_replaced_answer_is_booked_with_its_new_status(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """It is LM Studio's answer in other words, and no error of the gateway's."""
    upstream.script = answer(json.dumps({"error": TOO_MUCH_TO_KEEP}).encode(), status="400 Bad Request")
    gateway = await start_gateway(upstream.base_url)
    assert (await ask(gateway, CHAT))[0] == 400
    async with gateway.client.get(gateway.url("/debug/requests")) as response:
        ended = (await response.json())["recent"][-1]
    assert (ended["outcome"], ended["status"], ended["error"]) == ("completed", 400, None)
