"""Promises about the debug stream and the log: neither contains the key."""

from __future__ import annotations

import asyncio
import json
import re
import time
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.conftest import StartGateway
from tests.hostile.conftest import FIELDS, KEY, Connect
from tests.hostile.gateway_process import GatewayProcess, running_process
from tests.hostile.wire import CHAT, WITHOUT_KEY, json_post, request
from tests.support.raw_client import RawClient, raw_client
from tests.support.upstream import ScriptedUpstream, answer

MIB = 1024**2


def get(path: str, *lines: str, fields: bytes = FIELDS) -> bytes:
    return request(f"GET {path}".encode(), *(line.encode("latin-1") for line in lines), fields=fields)


def chat(body: str) -> bytes:
    return json_post(CHAT, body.encode())


def admin(action: str, body: str) -> bytes:
    return json_post(f"/admin/models/{action}".encode(), body.encode())


async def subscribe(client: RawClient) -> bytes:
    await client.send(get("/debug/stream"))
    head = await client.head()
    assert b" 200 " in head
    return head


async def until(client: RawClient, text: bytes) -> bytes:
    """Read up to the end of the event that contains this."""
    received = b""
    async with asyncio.timeout(10):
        while not (received.endswith(b"\n\n\r\n") and text in received):
            received += await client.reader.readuntil(b"\n\n\r\n")
    return received


async def test_debug_stream_is_an_uncached_event_stream_and_opens_at_once(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    async with connect() as watcher, connect() as client:
        head = (await subscribe(watcher)).lower()
        assert b"\r\ncontent-type: text/event-stream\r\n" in head
        assert b"\r\ncache-control: no-cache\r\n" in head
        assert b"\r\nx-accel-buffering: no\r\n" in head
        assert b"content-length" not in head
        assert await until(watcher, b"event: connected\n")
        await client.ask(get("/v1/models", "X-Request-Id: mine"))
        seen = await until(watcher, b"event: inference_complete\n")
    assert seen.count(b'"requestId":"mine"') == 2
    assert b"event: inference_start\n" in seen


# Each is a request with the key in another place than the header that authenticates it.
KEY_PLACES = {
    "X-API-Key": get("/v1/models"),
    "Authorization": get("/v1/models", f"Authorization: Bearer {KEY}", fields=WITHOUT_KEY),
    "request id": get("/v1/models", f"X-Request-Id: {KEY}"),
    "User-Agent": get("/v1/models", f"User-Agent: {KEY}", f"Referer: http://x/{KEY}", f"Cookie: k={KEY}"),
    "forwarded address": get("/v1/models", f"X-Forwarded-For: {KEY}"),
    "Last-Event-ID": get("/v1/models", f"Last-Event-ID: {KEY}"),
    "query": get(f"/v1/models?key={KEY}&{KEY}"),
    "path": get(f"/v1/models/{KEY}"),
    "quoted path": get("/v1/models/" + "".join(f"%{ord(letter):02x}" for letter in KEY)),
    "path between letters": get(f"/v1/models/key={KEY};x"),
    "path beside a letter": get(f"/v1/x{KEY}"),
    "path of nothing beside a letter": get(f"/nowhere/{KEY}s"),
    "model beside a word": chat(json.dumps({"model": f"{KEY}-7b"})),
    "User-Agent beside a letter": get("/v1/models", f"User-Agent: token_{KEY}\r\n"),
    "request id beside a letter": get("/v1/models", f"X-Request-Id: x{KEY}\r\n"),
    "admin name beside a word": admin("activate", json.dumps({"modelKey": f"{KEY}-7b"})),
    "path of nothing": get(f"/nowhere/{KEY}"),
    "unauthorized path": get(f"/v1/{KEY}", "X-API-Key: no", fields=WITHOUT_KEY),
    "method": request(f"{KEY.upper()} /v1/{KEY}".encode()),
    "host": get("/v1/models", f"Host: {KEY}", f"X-API-Key: {KEY}", fields=b""),
    "bad header": get("/v1/models", f"X-API-Key {KEY}", fields=WITHOUT_KEY),
    "prompt": chat(json.dumps({"messages": [{"role": "user", "content": KEY}]})),
    "no JSON": chat(KEY),
    "model": chat(json.dumps({"model": KEY})),
    "header name": get("/v1/models", f"{KEY}: \xff"),
    "admin field": admin("activate", f'{{"{KEY}": 1}}'),
    "admin name": admin("activate", json.dumps({"modelKey": KEY})),
    "admin name, escaped": admin("activate", f'{{"modelKey": "{KEY[:-1]}\\u{ord(KEY[-1]):04x}"}}'),
    "admin list": admin(
        "activate", json.dumps({"modelKey": "m", "defaultInference": {"stopStrings": [KEY]}})
    ),
    "admin load": admin("load", json.dumps({"modelKey": KEY})),
    "admin load's name": admin("load", json.dumps({"modelKey": "m", "instanceId": KEY})),
    "cancelled id": request(f"DELETE /debug/requests/{KEY}".encode()),
}


@pytest.mark.parametrize(
    "request_bytes",
    [pytest.param(sent, id=place) for place, sent in KEY_PLACES.items()],
)
async def test_key_is_in_no_debug_event_and_no_debug_response_wherever_it_was_sent(
    connect: Connect, request_bytes: bytes
) -> None:
    async with connect() as watcher, connect() as client:
        await subscribe(watcher)
        async with connect() as hostile:
            await hostile.send(request_bytes)
            await hostile.head()
        await client.ask(get("/v1/models", "X-Request-Id: the-last"))
        seen = await until(watcher, b'"requestId":"the-last","totalTimeMs"')
        for path in ("/debug/status", "/debug/metrics", "/debug/requests", "/metrics"):
            seen += (await client.ask(get(path))).body
    assert KEY.encode() not in seen
    assert KEY.upper().encode() not in seen


@pytest.mark.long
async def test_10_debug_clients_that_never_read_cost_nothing(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """1,500 requests with long paths: memory is flat, no request is slower, a new reader sees its events."""
    path = "/v1/models/" + "x" * 7000
    async with (
        running_process(tmp_path, upstream.base_url, "logging.level=warn") as served,
        AsyncExitStack() as stack,
    ):
        client = await stack.enter_async_context(raw_client(served.port))

        async def ask_often(times: int) -> float:
            seconds = []
            for _ in range(times // 10):
                began = time.monotonic()
                await client.send(get(path) * 10)
                for _ in range(10):
                    await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n{}"), 5)
                seconds.append(time.monotonic() - began)
            return median(seconds)

        alone = await ask_often(300)
        before = served.resident_bytes
        for _ in range(10):
            stuck = await stack.enter_async_context(raw_client(served.port))
            stuck.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await stuck.send(get("/debug/stream"))
        while b"event_subscribers 10.0\n" not in (await client.ask(get("/metrics"))).body:
            await asyncio.sleep(0)
        watched = await ask_often(1500)
        assert served.resident_bytes - before < 32 * MIB
        assert watched < 2 * alone + 0.02
        # Their queues are bounded.
        assert b"events_lost 0.0\n" not in (await client.ask(get("/metrics"))).body
        watcher = await stack.enter_async_context(raw_client(served.port))
        await subscribe(watcher)
        await client.ask(get("/v1/models", "X-Request-Id: mine"))
        assert await until(watcher, b'"requestId":"mine"')


@pytest.mark.long
async def test_300_debug_clients_are_served_beside_requests_and_their_disconnection_is_noticed(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    async with connect() as client, AsyncExitStack() as stack:
        watchers = []
        for _ in range(300):
            watchers.append(await stack.enter_async_context(connect()))
            await subscribe(watchers[-1])
        assert (await client.ask(get("/v1/models", "X-Request-Id: mine"))).body == b"{}"
        for watcher in watchers:
            await until(watcher, b'"requestId":"mine"')
            watcher.hang_up()
        async with asyncio.timeout(5):
            # The test's own subscription is left.
            while b"event_subscribers 1.0\n" not in (await client.ask(get("/metrics"))).body:
                await asyncio.sleep(0)


async def test_debug_clients_beyond_the_limit_get_503_with_retry_after(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    gateway = await start_gateway(upstream.base_url, auth={"api_key": KEY}, limits={"subscribers": 1})
    async with raw_client(gateway.port) as first, raw_client(gateway.port) as second:
        await subscribe(first)
        refused = await second.ask(get("/debug/stream"))
        assert (refused.status, refused.one("Retry-After")) == (503, "1")


HOSTILE_PATHS = [
    "/v1/a%0d%0a2026-01-01T00:00:00.000Z%20INFO%20forged",
    "/v1/a%1b[31mred%1b]0;title%07",
    "/v1/a%0aforged",
    "/v1/a%0bforged%0cforged%c2%85forged%e2%80%a8forged%e2%80%a9forged",
    "/v1/a%00%7f%c2%9b31m",
    "/v1/%ff%fe%ed%a0%80",
    "/nowhere%0d%0aforged%1b[31m",
]
LINE = {
    "plain": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ +[\w.]+: [^\x00-\x1f\x7f-\x9f]*\Z"),
    "json": re.compile(r'\{"timestamp":.*\}\Z'),
}


async def provoke(served: GatewayProcess, upstream: ScriptedUpstream) -> None:
    """Send everything that must not be in a log."""
    header = "X-A: b\x1b[31mforged\r\n"
    upstream.script = answer(b'{"x":"\x1b[31m\\r\\nforged"}', status="500 \x1b[31mforged", extra=header)
    texts = [get(path, "User-Agent: \tforged\x80", f"X-Request-Id: {path}") for path in HOSTILE_PATHS]
    texts += [chat('{"model":"a\\r\\nforged\\u001b[31m"}'), chat("\r\nforged\x1b[31m")]
    texts += [get("/v1/models", "X-A: a\x1b[31m"), b"\x1b[31mforged\r\nforged\r\n\r\n"]
    texts += [get("/v1/models", "\nforged: 1"), get("/v1/models", "X-A: 1\rforged: 1")]
    for text in (*KEY_PLACES.values(), *texts):
        async with raw_client(served.port) as client:
            await client.send(text)
            await client.head()


@pytest.mark.parametrize("style", ["plain", "json"])
async def test_log_never_contains_the_key_and_no_input_begins_a_line(
    tmp_path: Path, upstream: ScriptedUpstream, style: str
) -> None:
    """At the level debug, whatever was received."""
    options = ("logging.level=debug", f"logging.format={style}")
    async with running_process(tmp_path, upstream.base_url, *options) as served:
        await provoke(served, upstream)
        async with raw_client(served.port) as client:
            await client.ask(get("/nowhere/at-the-end"))
            async with asyncio.timeout(5):
                while b"at-the-end" not in served.log:
                    await asyncio.sleep(0.01)
        text = served.log.decode()
    assert KEY not in text
    assert KEY.upper() not in text
    lines = text.removesuffix("\n").split("\n")
    odd = [line for line in lines if not LINE[style].match(line) or line.startswith(("forged", "\x1b"))]
    assert odd == []
    records: list[Any] = list(map(json.loads, lines)) if style == "json" else lines
    assert len(records) >= len(KEY_PLACES) + len(HOSTILE_PATHS)
