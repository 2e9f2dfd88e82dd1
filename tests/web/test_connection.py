"""Malformed requests: what is answered, and what is logged."""

from __future__ import annotations

import json
import logging

import pytest

from tests.conftest import StartGateway
from tests.support.raw_client import raw_client
from tests.support.upstream import ScriptedUpstream


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


async def test_framing_that_breaks_before_the_handler_begins_is_noticed(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Head and malformed chunk arrive in two reads, both before the handler begins to read the body."""
    gateway = await start_gateway(upstream.base_url)
    async with raw_client(gateway.port) as client:
        await client.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await client.answer()
        (connection,) = gateway.limits.connections
        head = b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.data_received(head + b"1\r\n{\r\n")
        connection.data_received(b"zz\r\n")
        assert (await client.answer()).status == 400
