"""What is answered to what is no HTTP."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from tests.conftest import StartGateway
from tests.support.raw_client import raw_client
from tests.support.upstream import Received, ScriptedUpstream


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-API-Key s3cret\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX-A: s3cret\x00\r\n\r\n",
        b"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\ns3cret",
        b"s3cret\r\n\r\n",
    ],
    ids=["colon forgotten", "control character", "two lengths", "no request"],
)
async def test_malformed_request_is_refused_without_quoting_it(
    start_gateway: StartGateway, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    """A line that is no header may be a mistyped key: neither the answer nor the log repeats it."""
    caplog.set_level(logging.DEBUG, "lmgateway")
    gateway = await start_gateway(upstream.base_url)
    async with raw_client(gateway.port) as client:
        await client.send(sent)
        answer = await client.rest()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 400 " in head
    assert b"X-Request-Id: req_" in head
    assert json.loads(body) == {"error": "The request is not valid HTTP."}
    assert b"cret" not in answer
    assert "cret" not in caplog.text
    assert "127.0.0.1 sent a malformed request req_" in caplog.text
    assert not [
        record for record in caplog.records if record.levelno > logging.INFO and record.name != "asyncio"
    ]


@pytest.mark.parametrize("broken", [b"s3cret\r\nrubbish\r\n", b"0\r\nX-API-Key : s3cret\r\n\r\n"])
async def test_body_whose_framing_breaks_ends_the_request(
    start_gateway: StartGateway, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture, broken: bytes
) -> None:
    """What is no chunk, sent after the handler began to read, is refused at once, and quoted nowhere."""
    gateway, outcome = await start_gateway(upstream.base_url), asyncio.Queue[bytes]()
    upstream.reads_body = False

    async def script(_request: Received, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        outcome.put_nowait(await reader.readuntil(b"half\r\n"))
        outcome.put_nowait(await reader.read())

    upstream.script = script
    async with raw_client(gateway.port) as client:
        await client.send(
            b"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"
        )
        await asyncio.wait_for(outcome.get(), 5)
        await client.send(broken)
        assert b" 400 " in await client.head()
        assert b"cret" not in await client.rest()
        assert await asyncio.wait_for(outcome.get(), 5) == b""
    assert "cret" not in caplog.text
    assert not [
        record for record in caplog.records if record.levelno > logging.INFO and record.name != "asyncio"
    ]


@pytest.mark.parametrize("path", [b"/v1/embeddings", b"/health", b"/nowhere", b"/admin/models"])
@pytest.mark.parametrize("expectation", [b"100-continue", b"something else"])
async def test_nobody_is_asked_for_a_body_before_it_is_wanted(
    start_gateway: StartGateway, upstream: ScriptedUpstream, path: bytes, expectation: bytes
) -> None:
    """On no path does a refused client get 100 Continue, nor an answer that isn't the gateway's own."""
    gateway = await start_gateway(upstream.base_url, auth={"api_key": "k", "require_for_health": True})
    async with raw_client(gateway.port) as client:
        await client.send(
            b"POST %s HTTP/1.1\r\nHost: localhost\r\nExpect: %s\r\nContent-Length: 9\r\n\r\n"
            % (path, expectation)
        )
        head = await client.head()
    assert b" 401 " in head
    assert b"X-Request-Id: req_" in head


async def test_client_that_leaves_before_its_answer_is_no_error(
    start_gateway: StartGateway, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """Pipelined requests whose client is gone end without a traceback."""
    gateway = await start_gateway(upstream.base_url)
    async with raw_client(gateway.port) as client:
        await client.send(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
        await asyncio.wait_for(upstream.arrivals.get(), 5)
        client.hang_up()
    async with gateway.client.get(gateway.url("/health")) as response:
        assert response.status == 200
    assert not [
        record for record in caplog.records if record.levelno > logging.INFO and record.name != "asyncio"
    ]


async def test_framing_that_breaks_before_the_handler_begins_is_noticed(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Head and break come in two reads, so close together that nobody has begun to read the body."""
    gateway = await start_gateway(upstream.base_url)
    async with raw_client(gateway.port) as client:
        await client.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await client.answer()
        (connection,) = gateway.limits.connections
        head = b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.data_received(head + b"1\r\n{\r\n")
        connection.data_received(b"zz\r\n")
        assert (await client.answer()).status == 400
