"""Malformed requests: what is answered, and what is logged."""

from __future__ import annotations

import json
import logging

import pytest

from tests.conftest import StartGateway
from tests.support.raw_client import raw_client
from tests.support.requests import CHUNKED, request
from tests.support.upstream import ScriptedUpstream


@pytest.mark.parametrize(
    "sent",
    [
        request(b"GET /health", b"X-API-Key s3cret"),
        request(b"GET /v1/models", b"X-A: s3cret\x00"),
        request(b"POST /v1/files", b"Content-Length: 1", b"Content-Length: 2", body=b"s3cret"),
        b"s3cret\r\n\r\n",
    ],
    ids=["colon forgotten", "control character", "two lengths", "no request"],
)
async def test_malformed_request_is_refused_without_quoting_it(
    start_gateway: StartGateway, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    """A malformed line may be a mistyped key: neither the response nor the log quotes it."""
    caplog.set_level(logging.DEBUG, "lmgateway")
    gateway = await start_gateway(upstream.base_url)
    async with raw_client(gateway.port) as client:
        answered = await client.ask(sent)
    assert (answered.status, json.loads(answered.body)) == (400, {"error": "The request is not valid HTTP."})
    assert (answered.one("X-Request-Id") or "").startswith("req_")
    assert "cret" not in str(answered)
    assert "cret" not in caplog.text
    assert "127.0.0.1 sent a malformed request req_" in caplog.text
    assert not [one for one in caplog.records if one.levelno > logging.INFO and one.name != "asyncio"]


async def test_framing_that_breaks_before_the_handler_begins_is_400(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Head and malformed chunk arrive in two reads, both before the handler begins to read the body."""
    gateway = await start_gateway(upstream.base_url)
    async with raw_client(gateway.port) as client:
        await client.ask(request(b"GET /health"))
        (connection,) = gateway.limits.connections
        head = request(b"POST /v1/embeddings", CHUNKED)
        connection.data_received(head + b"1\r\n{\r\n")
        connection.data_received(b"zz\r\n")
        assert (await client.answer()).status == 400
