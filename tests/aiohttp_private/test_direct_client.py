"""DirectClient: the same bytes, connections and failures as aiohttp's own client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from multidict import CIMultiDict
from yarl import URL

from lmgateway.aiohttp_private.connector import FreshConnector
from lmgateway.aiohttp_private.direct_client import DirectClient, DirectResponse
from tests.support.upstream import Received, ScriptedUpstream, answer, chunk, raw, silent

TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=1, sock_read=0.2)
FIELDS = CIMultiDict([("Content-Type", "application/json"), ("X-Twice", "1"), ("X-Twice", "2")])


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    skipped = ("Accept", "Accept-Encoding", "User-Agent")
    connector = FreshConnector()
    async with aiohttp.ClientSession(connector=connector, skip_auto_headers=skipped) as session:
        yield session


async def read(reply: DirectResponse) -> bytes:
    return await asyncio.wait_for(reply.content.read(), 1)


async def post(
    session: aiohttp.ClientSession, upstream: ScriptedUpstream, body: bytes = b"{}"
) -> DirectResponse:
    fields = FIELDS.copy()
    fields["Content-Length"] = str(len(body))
    fields["Host"] = URL(upstream.base_url).authority
    return await DirectClient(session, upstream.base_url).send("POST", "/v1/x", fields, body, TIMEOUT)


@pytest.mark.parametrize("body", [b"", b'{"model":""}', b"x" * 32_768], ids=["none", "small", "large"])
@pytest.mark.parametrize("path", ["", "/prefix"])
async def test_request_is_the_one_that_aiohttp_sends(
    session: aiohttp.ClientSession, upstream: ScriptedUpstream, body: bytes, path: str
) -> None:
    target = "/v1/chat/completions?a=%2e&b"
    fields = FIELDS.copy()
    fields["Content-Length"] = str(len(body))
    head = CIMultiDict([("Host", URL(upstream.base_url).authority), *fields.items()])
    reply = await DirectClient(session, upstream.base_url + path).send("POST", target, head, body, TIMEOUT)
    assert (reply.status, reply.reason, await read(reply)) == (200, "OK", b"{}")
    url = URL(upstream.base_url + path + target, encoded=True)
    async with session.post(url, data=body, headers=fields) as response:
        assert response.status == 200
    ours, aiohttps = upstream.received
    assert ours == aiohttps
    assert upstream.connections == 1


async def test_interim_responses_are_skipped(
    session: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    """RFC 9110 section 15.2: there may be any number of them."""
    upstream.script = raw(
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 201 Made\r\nContent-Length: 2\r\n\r\nok"
    )
    reply = await post(session, upstream)
    assert (reply.status, reply.reason, await read(reply)) == (201, "Made", b"ok")


async def test_connection_is_reused_as_soon_as_the_response_has_ended(
    session: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    for _ in range(3):
        assert await read(await post(session, upstream)) == b"{}"
    assert upstream.connections == 1


async def test_closing_before_the_end_ends_the_connection(
    session: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    """LM Studio sees the disconnection."""

    async def endless(_request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"1"))
        await reader.read()

    upstream.script = endless
    reply = await post(session, upstream)
    assert await reply.content.readany() == b"1"
    reply.close()
    await asyncio.wait_for(upstream.gone.get(), 1)
    upstream.script = answer()
    assert await read(await post(session, upstream)) == b"{}"


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        pytest.param([b"nonsense\r\n\r\n"], aiohttp.ClientResponseError, id="no HTTP"),
        pytest.param([b"HTTP/1.1 200 OK\r\nContent-Le"], aiohttp.ServerDisconnectedError, id="half a head"),
        pytest.param([], aiohttp.ServerDisconnectedError, id="nothing"),
    ],
)
async def test_failures_are_those_of_aiohttp(
    session: aiohttp.ClientSession,
    upstream: ScriptedUpstream,
    pieces: list[bytes],
    expected: type[Exception],
) -> None:
    upstream.script = raw(*pieces)
    with pytest.raises(expected):
        await post(session, upstream)
    with pytest.raises(expected):
        await session.post(upstream.base_url, data=b"{}")
    assert not session.connector or not session.connector._acquired


async def test_silence_is_a_time_out(session: aiohttp.ClientSession, upstream: ScriptedUpstream) -> None:
    upstream.script = silent
    with pytest.raises(aiohttp.SocketTimeoutError):
        await post(session, upstream)
    await asyncio.wait_for(upstream.gone.get(), 1)
