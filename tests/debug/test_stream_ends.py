"""The record of a stream that fails or isn't read to its end."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from tests.conftest import StartGateway
from tests.debug.conftest import usage_of
from tests.support.gateway import Gateway
from tests.support.raw_client import raw_client
from tests.support.requests import post
from tests.support.upstream import STREAM_HEAD, Received, ScriptedUpstream, chunk, raw
from tests.support.waiting import PATIENCE_SECONDS

TOKEN = b'data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}\n\n'
STOP = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = b'{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}'
EXTRA = b'data: {"id":"x","choices":[],"usage":%s}\n\n' % USAGE
DONE = b"data: [DONE]\n\n"
ERROR = b'data: {"error":{"message":"The model has crashed.","code":500}}\n\n'
RESPONSE = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"x"}\n\n'
MESSAGE = b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"x"}}\n\n'
NATIVE = b'event: message.delta\ndata: {"type":"message.delta","content":"x"}\n\n'
CHAT_PATHS = ("/v1/chat/completions", "/v1/completions", "/api/v0/chat/completions", "/api/v0/completions")
FAILED = [
    *((path, TOKEN + ERROR) for path in CHAT_PATHS),
    *((path, TOKEN + ERROR + DONE) for path in CHAT_PATHS),
    *((path, TOKEN + TOKEN) for path in CHAT_PATHS),
    ("/v1/chat/completions", b""),
    ("/v1/responses", RESPONSE + DONE),
    ("/v1/responses", RESPONSE + b'event: response.failed\ndata: {"type":"response.failed"}\n\n'),
    ("/v1/messages", MESSAGE + b'event: message_delta\ndata: {"delta":{"stop_reason":"end_turn"}}\n\n'),
    ("/v1/messages", b'data: {"type":"error","error":{"type":"overloaded_error"}}\n\n'),
    ("/api/v1/chat", NATIVE),
]
COMPLETED = [
    *((path, TOKEN + STOP + DONE) for path in CHAT_PATHS),
    *((path, TOKEN + STOP) for path in CHAT_PATHS),
    ("/v1/chat/completions", TOKEN + DONE),
    ("/v1/chat/completions", TOKEN + STOP + EXTRA),
    ("/v1/responses", RESPONSE + b'event: response.completed\ndata: {"type":"response.completed"}\n\n'),
    ("/v1/responses", RESPONSE + b'event: response.incomplete\ndata: {"type":"response.incomplete"}\n\n'),
    ("/v1/messages", MESSAGE + b'event: message_stop\ndata: {"type":"message_stop"}\n\n'),
    ("/api/v1/chat", NATIVE + b'event: chat.end\ndata: {"type":"chat.end"}\n\n'),
    ("/v1/embeddings", b": no stream of an API that has any\n\n"),
]


async def books(gateway: Gateway) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The last request's row, the status and the metrics."""
    pages = []
    for path in ("/debug/requests", "/debug/status", "/debug/metrics"):
        async with gateway.client.get(gateway.url(path)) as response:
            pages.append(await response.json())
    requests, status, metrics = pages
    return requests["recent"][-1], status, metrics["performance"]


async def ending(gateway: Gateway) -> tuple[str, dict[str, Any]]:
    """The one event that a request ends with, and its data."""
    name = ""
    url, headers = gateway.url("/debug/stream"), {"Last-Event-ID": "0"}
    async with asyncio.timeout(PATIENCE_SECONDS), gateway.client.get(url, headers=headers) as response:
        async for line in response.content:
            field, _, value = line.decode().strip().partition(": ")
            if field == "event":
                name = value
            elif field == "data" and name in {"error", "inference_complete"}:
                return name, json.loads(value)
    raise AssertionError("the stream of events ended")


async def ask(gateway: Gateway, path: str) -> bytes:
    async with gateway.client.post(gateway.url(path), data=b'{"stream":true}') as response:
        assert response.status == 200
        return await response.read()


@pytest.mark.parametrize(("path", "stream"), FAILED)
async def test_a_stream_that_fails_is_recorded_so_and_relayed_byte_for_byte(
    start_gateway: StartGateway, upstream: ScriptedUpstream, path: str, stream: bytes
) -> None:
    """Without an `event:` line too, and if LM Studio stops before the proper end."""
    upstream.script = raw(STREAM_HEAD + (chunk(stream) if stream else b"") + chunk(b""))
    gateway = await start_gateway(upstream.base_url)
    assert await ask(gateway, path) == stream
    row, status, performance = await books(gateway)
    assert (row["outcome"], row["status"]) == ("failed", 502)
    assert (status["totalErrors"], performance["totalErrors"]) == (1, 1)
    assert (performance["completedRequestCount"], status["recentRequests"][-1]["status"]) == (0, "failed")
    name, data = await ending(gateway)
    assert (name, data["code"], data["error"]) == ("error", "upstream_broke", row["error"])


@pytest.mark.parametrize(("path", "stream"), COMPLETED)
@pytest.mark.parametrize("pieces", [1, 7])
async def test_a_stream_with_its_proper_end_is_recorded_as_completed(
    start_gateway: StartGateway, upstream: ScriptedUpstream, path: str, stream: bytes, pieces: int
) -> None:
    size = -(-len(stream) // pieces)
    parts = (chunk(stream[start : start + size]) for start in range(0, len(stream), size))
    upstream.script = raw(STREAM_HEAD, *parts, chunk(b""))
    gateway = await start_gateway(upstream.base_url)
    hidden = EXTRA if path in CHAT_PATHS else b""
    assert await ask(gateway, path) == stream.replace(hidden, b"")
    row, status, _ = await books(gateway)
    assert (row["outcome"], row["error"], status["totalErrors"]) == ("completed", None, 0)


async def test_an_error_of_another_status_is_no_unfinished_stream(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    upstream.script = raw(STREAM_HEAD.replace(b"200 OK", b"404 Not Found") + chunk(b": no\n\n") + chunk(b""))
    gateway = await start_gateway(upstream.base_url)
    async with gateway.client.post(gateway.url("/v1/chat/completions"), data=b"{}") as response:
        assert response.status == 404
        await response.read()
    row, status, _ = await books(gateway)
    assert (row["outcome"], row["status"], status["totalErrors"]) == ("completed", 404, 0)


@pytest.mark.parametrize(
    ("path", "token"),
    [
        *((path, TOKEN) for path in CHAT_PATHS[:1] + CHAT_PATHS[2:3]),
        ("/v1/completions", b'data: {"choices":[{"text":"x","finish_reason":null}]}\n\n'),
        ("/v1/responses", RESPONSE),
        ("/v1/messages", MESSAGE),
        ("/api/v1/chat", NATIVE),
    ],
)
async def test_tokens_that_were_seen_count_though_the_client_left(
    start_gateway: StartGateway, upstream: ScriptedUpstream, path: str, token: bytes
) -> None:
    """40 tokens are in the history, the metrics and the event, although LM Studio sent no usage."""

    async def script(received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await raw(STREAM_HEAD, *[chunk(token)] * 40, then_close=False)(received, reader, writer)
        await reader.read()

    upstream.script = script
    gateway = await start_gateway(upstream.base_url)
    async with raw_client(gateway.port) as client:
        await client.send(post(path.encode(), b'{"stream":true}'))
        pieces, seen = client.pieces(await client.answer_head()), b""
        while seen != token * 40:
            seen += await anext(pieces)
        client.hang_up()
    name, data = await ending(gateway)
    expected = usage_of(0, 40)
    assert (name, data["tokenUsage"]) == ("error", expected)
    row, status, performance = await books(gateway)
    assert (row["outcome"], row["tokens"], row["tokenUsage"]) == ("aborted", 40, expected)
    assert status["recentRequests"][-1]["tokenUsage"] == expected
    assert performance["tokenStats"]["totalCompletionTokens"] == 40
    async with gateway.client.get(gateway.url("/metrics")) as response:
        assert re.search(
            r'^lmgateway_tokens_total\{.*direction="out".*\} 40.0$', await response.text(), re.MULTILINE
        )
