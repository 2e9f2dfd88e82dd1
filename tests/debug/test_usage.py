"""Accounting: the counts are LM Studio's, and clients receive the same bytes."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import aiohttp
import pytest

from lmgateway.simulator import Switches
from tests.conftest import StartGateway
from tests.debug.conftest import LLM, usage_of
from tests.support.home import QUICK, Home
from tests.support.upstream import STREAM_HEAD, ScriptedUpstream, answer, chunk, raw

# Members that differ in each response.
MADE_ANEW = rb'"(id|created|tokens_per_second|time_to_first_token|generation_time)":("[^"]*"|[\d.e-]+)'
HELLO = [{"role": "user", "content": "Say something in 5 words."}]
APIS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": HELLO}),
    "completions": ("/v1/completions", {"prompt": "Say something in 5 words."}),
    "v0": ("/api/v0/chat/completions", {"messages": HELLO}),
    "responses": ("/v1/responses", {"input": "Say something in 5 words."}),
    "messages": ("/v1/messages", {"messages": HELLO, "max_tokens": 50}),
    "native": ("/api/v1/chat", {"input": "Say something in 5 words.", "model": LLM}),
}
ANSWERS = 15


async def ask(home: Home, path: str, body: dict[str, Any]) -> bytes:
    async with home.gateway.client.post(home.gateway.url(path), json=body) as response:
        assert response.status == 200, await response.text()
        return await response.read()


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "plain"])
@pytest.mark.parametrize("api", APIS)
async def test_every_answer_counts_what_lm_studio_produced(home: Home, api: str, stream: bool) -> None:
    """For each API the sums are exact, for streams and plain responses."""
    path, body = APIS[api]
    home.gateway.client.connector._limit = 0  # type: ignore[union-attr]
    await asyncio.gather(*(ask(home, path, {**body, "stream": stream}) for _ in range(ANSWERS)))
    total = home.studio.simulator.ledger.total
    assert (total.begun, total.finished) == (ANSWERS, ANSWERS)
    _, metrics = await home.get("/debug/metrics")
    performance = metrics["performance"]
    assert performance["requestsWithTokenData"] == ANSWERS
    assert performance["tokenStats"]["totalPromptTokens"] == total.prompt_tokens
    assert performance["tokenStats"]["totalCompletionTokens"] == total.completion_tokens
    assert performance["avgTokensPerSec"] > 0
    _, requests = await home.get("/debug/requests")
    assert all(
        (request["ttftMs"] is not None) == (stream or api in {"v0", "native"})
        for request in requests["recent"]
    )


async def test_the_tokens_of_a_broken_stream_are_counted(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Although Anthropic's first event has output_tokens 0."""
    usage = b'{"input_tokens":7,"output_tokens":0}'
    begins = b'event: message_start\ndata: {"type":"message_start","message":{"usage":%s}}\n\n' % usage
    token = b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"x"}}\n\n'
    upstream.script = raw(STREAM_HEAD + chunk(begins) + 3 * chunk(token))
    gateway = await start_gateway(upstream.base_url)
    async with gateway.client.post(gateway.url("/v1/messages"), json={"stream": True}) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    async with gateway.client.get(gateway.url("/debug/requests")) as response:
        (request,) = (await response.json())["recent"]
    assert request["tokenUsage"] == usage_of(7, 3)


async def test_an_embedding_that_lm_studio_does_not_count_is_unknown(home: Home) -> None:
    """Its usage is 0 of 0, which no text has."""
    await ask(home, "/v1/embeddings", {"input": ["one two", "three"]})
    _, requests = await home.get("/debug/requests")
    assert requests["recent"][-1]["tokenUsage"] is None


async def test_embeddings_are_counted(home: Home) -> None:
    """As prompt tokens, if LM Studio counts them."""
    home.studio.simulator.switches = Switches(embedding_usage=True)
    await ask(home, "/v1/embeddings", {"input": ["one two", "three"]})
    _, metrics = await home.get("/debug/metrics")
    stats = metrics["performance"]["tokenStats"]
    assert (stats["totalPromptTokens"] > 0, stats["totalCompletionTokens"]) == (True, 0)


@pytest.mark.parametrize("options", [None, {"include_usage": False}, {"include_usage": True}, {}])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/api/v0/chat/completions"])
async def test_bytes_are_the_same_with_and_without_accounting(
    home: Home, start_gateway: StartGateway, path: str, options: dict[str, bool] | None
) -> None:
    """The client gets usage only if it requested it, and otherwise the same bytes."""
    proxy = {"account_streams": False}
    silent = Home(await start_gateway(home.studio.base_url, lmstudio=QUICK, proxy=proxy), home.studio)
    body = {"model": LLM, "messages": HELLO, "prompt": "x", "stream": True, "seed": 1}
    if options is not None:
        body["stream_options"] = options
    seen = []
    for each in (home, silent):
        stream = await ask(each, path, body)
        seen.append(re.sub(MADE_ANEW, b"", stream))
    assert seen[0] == seen[1]
    assert (b'"usage":{' in seen[0]) == bool(options and options.get("include_usage"))
    assert seen[0].endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("sent", "added"),
    [
        (
            '{"model":"m","stream":true}',
            '{"stream_options":{"include_usage":true},"model":"m","stream":true}',
        ),
        ('{"model":"m","stream":true,"stream_options":{"include_usage":true}}', None),
        (
            '{"model":"m","stream":true,"stream_options":{"a":1.0}}',
            '{"model":"m","stream":true,"stream_options":{"a":1.0,"include_usage":true}}',
        ),
        (
            '{"model":"m","stream":true,"stream_options":null}',
            '{"model":"m","stream":true,"stream_options":{"include_usage":true}}',
        ),
        ('{"model":"m","stream":true,"stream_options":7}', None),
        ('{"model":"m","stream":false}', None),
        ('{"model":"m"}', None),
    ],
)
async def test_usage_is_requested_where_the_client_did_not(
    start_gateway: StartGateway, upstream: ScriptedUpstream, sent: str, added: str | None
) -> None:
    """Only of streams without it; nothing else in the body changes."""
    gateway = await start_gateway(upstream.base_url)
    for path in ("/v1/chat/completions", "/v1/responses", "/v1/messages"):
        async with gateway.client.post(gateway.url(path), data=sent.encode()):
            pass
        expected = added if added and path.endswith("completions") else sent
        assert upstream.last.body.decode() == expected


async def test_identity_is_requested_where_tokens_are_counted(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Elsewhere the client's Accept-Encoding is forwarded."""
    gateway, headers = await start_gateway(upstream.base_url), {"Accept-Encoding": "gzip, br"}
    for path, wished in (("/v1/chat/completions", "identity"), ("/v1/files", "gzip, br")):
        async with gateway.client.post(gateway.url(path), data=b"{}", headers=headers):
            assert upstream.last.one("Accept-Encoding") == wished
    upstream.script = answer(b"\x1f\x8b packed", extra="Content-Encoding: gzip\r\n")
    async with gateway.client.post(gateway.url("/v1/chat/completions"), data=b"{}") as response:
        assert await response.read() == b"\x1f\x8b packed"
