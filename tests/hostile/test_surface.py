"""Promises about the gateway's own endpoints and its 404s."""

from __future__ import annotations

import asyncio
import json

from tests.conftest import StartGateway
from tests.hostile.conftest import KEY, MODEL, Connect
from tests.hostile.wire import GET, HEALTH, WITHOUT_KEY, ask, json_post, reached, request
from tests.support.raw_client import Answer, raw_client
from tests.support.upstream import ScriptedUpstream, scripted_upstream

NOWHERE = rb"""
    /v1 /v1?x /v1/v1 //v1//v1 /v1x/models /v10/models /v2/models //v2/models /V1/models /%761/models
    /v1%2fmodels /v1\models /evil.example/v1/models /x/models /modelsx /models%2fx /models%3f /models;x
    /Models /chat /chat//x /images /audio/speech /api /api/ /api/v0 /api/v2/models /api/v0x/models
    /API/v0/models /%61pi/v1/chat /lmstudio-greeting /llm /system /favicon.ico /robots.txt /.env
    /.git/config /index.html /healthz /health/x /v1/health /v1/admin/models /v1/debug/status /admin
    /admin/x /debug /debug/x
""".split()


def assert_healthy_and_discreet(answer: Answer) -> None:
    assert answer.status == 200
    assert json.loads(answer.body).keys() == {"status", "timestamp", "uptime"}
    for secret in (KEY, MODEL, "127.0.0.1", "aiohttp", "Python"):
        assert secret not in str(answer)


async def test_health_answers_quickly_and_contains_no_secrets(connect: Connect) -> None:
    async with asyncio.timeout(1):
        for sent in (HEALTH, request(b"GET /health"), HEALTH):
            assert_healthy_and_discreet(await ask(connect, sent))


async def test_health_answers_while_the_upstream_is_down(start_gateway: StartGateway) -> None:
    async with scripted_upstream() as upstream:
        gateway = await start_gateway(upstream.base_url, auth={"api_key": KEY})
    async with raw_client(gateway.port) as client:
        assert (await client.ask(GET)).status == 503
        await client.send(HEALTH)
        async with asyncio.timeout(1):
            assert_healthy_and_discreet(await client.answer())


async def test_debug_status_is_json_and_counts_requests(connect: Connect) -> None:
    async def status() -> dict[str, int]:
        answer = await ask(connect, request(b"GET /debug/status"))
        assert (answer.status, answer.one("Content-Type")) == (200, "application/json")
        return json.loads(answer.body)  # type: ignore[no-any-return]

    before = await status()
    await ask(connect, GET)
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
