"""Promises about an LM Studio that can't be reached or doesn't respond. RFC 9110 section 15.6."""

from __future__ import annotations

import asyncio
import json
import time
from functools import partial

import pytest

from lmgateway.web.state import FLEET
from tests.conftest import StartGateway
from tests.hostile.conftest import KEY, Connect
from tests.hostile.wire import CHAT, PLAIN_BODY, STREAM_BODY, WITHOUT_KEY, ask, post, request, with_body
from tests.support.clock import Clock
from tests.support.ports import reserved_port
from tests.support.raw_client import raw_client
from tests.support.upstream import Received, Script, ScriptedUpstream, answer, reset, silent


async def closes(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def resets(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    reset(writer)


@pytest.mark.parametrize(
    ("method", "path"), [(b"POST", CHAT), (b"POST", b"/v1/files"), (b"GET", b"/v1/models")]
)
async def test_an_upstream_that_does_not_listen_is_503_soon_and_works_as_soon_as_it_is_back(
    start_gateway: StartGateway, upstream: ScriptedUpstream, method: bytes, path: bytes
) -> None:
    with reserved_port() as (port, reserved):
        gateway = await start_gateway(f"http://127.0.0.1:{port}", auth={"api_key": KEY})
        connect = partial(raw_client, gateway.port)
        started = time.monotonic()
        assert (await ask(connect, with_body(b"%s %s" % (method, path), PLAIN_BODY))).status == 503
        assert time.monotonic() - started < 3
        async with await asyncio.start_server(upstream.serve_connection, sock=reserved):
            assert (await ask(connect, with_body(b"%s %s" % (method, path), PLAIN_BODY))).status == 200


async def test_the_gateways_own_5xx_names_no_internals(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    async def fails(*_arguments: object, **_options: object) -> None:
        raise RuntimeError(f"/home/somebody/lmgateway/upstream.py: {upstream.base_url}")

    auth = {"api_key": KEY}
    gateway = await start_gateway(upstream.base_url, auth=auth)
    impatient = await start_gateway(upstream.base_url, auth=auth, proxy={"timeout_ms": 50})
    without_upstream = await start_gateway("http://127.0.0.1:9", auth=auth)
    failing = await start_gateway(upstream.base_url, auth=auth)
    failing.app[FLEET].boxes.main.http.send = fails  # type: ignore[method-assign]
    internals = ("127.0.0.1", str(upstream.port), "raceback", ".py", "/home", "Errno", "aiohttp", "asyncio")
    for path in (CHAT, b"/v1/messages", b"/v1/files"):
        for status, script, port in (
            (502, closes, gateway.port),
            (504, silent, impatient.port),
            (503, closes, without_upstream.port),
            (500, closes, failing.port),
        ):
            upstream.script = script
            answered = await ask(partial(raw_client, port), post(path, PLAIN_BODY))
            assert answered.status == status
            assert not [word for word in internals if word in answered.body.decode()]


async def test_the_gateways_own_errors_are_json_and_say_so(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    upstream.script = closes
    for status, sent in (
        (400, request(b"GET /v1/../x")),
        (400, b"no HTTP\r\n\r\n"),
        (401, request(b"GET /v1/models", fields=WITHOUT_KEY)),
        (404, request(b"GET /v1/admin/models")),
        (404, request(b"GET /nowhere")),
        (405, request(b"TRACE /v1/models")),
        (413, request(b"POST " + CHAT, b"Content-Length: 10737418240")),
        (502, post(CHAT, PLAIN_BODY)),
        (502, post(b"/v1/messages", PLAIN_BODY)),
    ):
        async with connect() as client:
            answered = await client.ask(sent)
        assert answered.status == status
        assert (answered.one("Content-Type") or "").startswith("application/json")
        error = json.loads(answered.body)["error"]
        assert error if isinstance(error, str) else error["message"]


@pytest.mark.parametrize("ending", [closes, resets])
@pytest.mark.parametrize("reads_body", [True, False], ids=["body read", "body unread"])
@pytest.mark.parametrize("path", [CHAT, b"/v1/files"])
async def test_an_upstream_that_takes_the_request_and_closes_is_502_and_gets_a_post_once(
    connect: Connect, upstream: ScriptedUpstream, path: bytes, reads_body: bool, ending: Script
) -> None:
    upstream.script, upstream.reads_body = ending, reads_body
    for count, size in enumerate((100, 2_000_000), 1):
        assert (await ask(connect, post(path, b"x" * size))).status == 502
        assert len(upstream.received) == count


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        (b"POST", CHAT, STREAM_BODY),
        (b"POST", CHAT, PLAIN_BODY),
        (b"POST", b"/v1/files", b"x"),
        (b"GET", b"/v1/x", None),
    ],
    ids=["stream", "plain", "upload", "GET"],
)
async def test_4_seconds_of_silence_before_the_first_byte_are_no_error(
    connect: Connect,
    upstream: ScriptedUpstream,
    monkeypatch: pytest.MonkeyPatch,
    method: bytes,
    path: bytes,
    body: bytes | None,
) -> None:
    clock, thinks = Clock(monkeypatch), asyncio.Event()

    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await thinks.wait()
        await answer(b"done")(request, reader, writer)

    upstream.script = script
    async with connect() as client:
        await client.send(with_body(b"%s %s" % (method, path), body))
        await asyncio.wait_for(upstream.arrivals.get(), 5)
        await clock.pass_seconds(4)
        thinks.set()
        answered = await client.answer()
    assert (answered.status, answered.body, len(upstream.received)) == (200, b"done", 1)


@pytest.mark.parametrize("ending", ["reads on", "stops reading", "closes"])
@pytest.mark.parametrize("path", [CHAT, b"/v1/files"])
async def test_a_response_during_the_upload_reaches_the_client(
    connect: Connect, upstream: ScriptedUpstream, path: bytes, ending: str
) -> None:
    size = 20_000_000

    async def script(_request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(100_000)
        writer.write(b"HTTP/1.1 413 Too Much\r\nConnection: close\r\nContent-Length: 7\r\n\r\ntoo big")
        await writer.drain()
        if ending == "reads on":
            while await reader.read(65536):
                pass
        elif ending == "stops reading":
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.Event().wait()
        else:
            writer.close()  # a reset, because there is unread data

    upstream.script, upstream.reads_body = script, False
    async with connect() as client:

        async def keep_sending() -> None:
            await client.send(request(b"POST " + path, b"Content-Length: %d" % size))
            for _ in range(size // 100_000):
                await client.send(b"x" * 100_000)

        sending = asyncio.create_task(keep_sending())
        answered = await client.answer()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    assert (answered.status, answered.body) == (413, b"too big")
