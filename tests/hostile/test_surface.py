"""Promises about what the gateway shows of itself."""

from __future__ import annotations

import asyncio
import json

from tests.conftest import StartGateway
from tests.hostile.conftest import KEY, MODEL, Connect
from tests.hostile.wire import WITHOUT_KEY, ask, json_post, reached, request
from tests.support.raw_client import Answer, raw_client
from tests.support.upstream import Received, ScriptedUpstream, scripted_upstream

HEALTH = request(b"GET /health", fields=WITHOUT_KEY)
NOWHERE = [
    b"/v1",
    b"/v2/models",
    b"/v1x/models",
    b"/V1/models",
    b"/api",
    b"/api/",
    b"/api/v0",
    b"/api/v2/models",
    b"/api/v0x/models",
    b"/API/v0/models",
    b"/lmstudio-greeting",
    b"/llm",
    b"/system",
    b"/favicon.ico",
    b"/robots.txt",
    b"/.env",
    b"/.git/config",
    b"/index.html",
    b"/healthz",
    b"/health/x",
    b"/modelsx",
    b"/chat",
    b"/v1/health",
    b"/v1/admin/models",
    b"/v1/debug/status",
    b"/admin",
    b"/admin/x",
    b"/debug",
    b"/debug/x",
]


def assert_healthy_and_discreet(answer: Answer) -> None:
    assert answer.status == 200
    assert json.loads(answer.body).keys() == {"status", "timestamp", "uptime"}
    for secret in (KEY, MODEL, "127.0.0.1", "aiohttp", "Python"):
        assert secret not in str(answer)


async def test_health_answers_quickly_and_tells_no_secrets(connect: Connect) -> None:
    async with asyncio.timeout(1):
        for sent in (HEALTH, request(b"GET /health"), HEALTH):
            assert_healthy_and_discreet(await ask(connect, sent))


async def test_health_answers_while_the_upstream_is_down(start_gateway: StartGateway) -> None:
    async with scripted_upstream() as upstream:
        gateway = await start_gateway(upstream.base_url, auth={"api_key": KEY})
    async with raw_client(gateway.port) as client:
        await client.send(request(b"GET /v1/models"))
        assert (await client.answer()).status == 503
        await client.send(HEALTH)
        async with asyncio.timeout(1):
            assert_healthy_and_discreet(await client.answer())


async def test_health_answers_while_the_upstream_hangs(connect: Connect, upstream: ScriptedUpstream) -> None:
    async def hang(_request: Received, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    upstream.script = hang
    async with connect() as client:
        await client.send(request(b"GET /v1/models"))
        await asyncio.wait_for(upstream.arrivals.get(), 3)
        async with asyncio.timeout(1):
            assert_healthy_and_discreet(await ask(connect, HEALTH))


async def test_debug_status_is_json_and_counts_requests(connect: Connect) -> None:
    async def status() -> dict[str, int]:
        answer = await ask(connect, request(b"GET /debug/status"))
        assert (answer.status, answer.one("Content-Type")) == (200, "application/json")
        return json.loads(answer.body)  # type: ignore[no-any-return]

    before = await status()
    await ask(connect, request(b"GET /v1/models"))
    await ask(connect, json_post(b"/v1/chat/completions", b"{}"))
    await ask(connect, request(b"GET /v1/models", fields=WITHOUT_KEY))  # refused, so no request
    after = await status()
    assert after["totalRequests"] == before["totalRequests"] + 2
    assert after["totalErrors"] == before["totalErrors"]


async def test_other_paths_are_404_from_the_gateway_and_forward_nothing(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    for path in NOWHERE:
        answer = await ask(connect, request(b"POST " + path, b"Content-Length: 0"))
        assert (answer.status, answer.one("Server")) == (404, "lmgateway"), path
    assert await reached(connect, upstream) == []
