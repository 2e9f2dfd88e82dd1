"""Promises about compressed request bodies. RFC 9110 sections 8.4 and 15.5.16."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from pathlib import Path

import pytest
from backports import zstd

from tests.hostile.conftest import MODEL, Connect
from tests.hostile.gateway_process import running_process
from tests.hostile.test_big_bodies import LIMIT, MAX_BODY_BYTES
from tests.hostile.wire import CHAT, ask, post, request
from tests.support.raw_client import raw_client
from tests.support.requests import CHUNKED
from tests.support.turns import longest_turn
from tests.support.upstream import ScriptedUpstream, chunk

BODY = b'{"messages": [], "big": 12345678901234567890.0}'
FILLED = b'{"model":"%s","temperature":0.5,"max_tokens":100,' % MODEL.encode() + BODY[1:]
BOM = b"\xef\xbb\xbf"
CODED = {
    b"gzip": gzip.compress(BODY),
    b"X-GZIP": gzip.compress(BODY),
    b"deflate": zlib.compress(BODY),
    b"DEFLATE": zlib.compress(BODY, wbits=-zlib.MAX_WBITS),
    b"zstd": zstd.compress(BODY),
    b"gzip, identity": gzip.compress(BOM + BODY),
}


@pytest.mark.parametrize("coding", CODED)
@pytest.mark.parametrize("chunk_bytes", [None, 1, 1000])
async def test_a_coded_body_is_filled_in_and_goes_on_as_identity(
    connect: Connect, upstream: ScriptedUpstream, coding: bytes, chunk_bytes: int | None
) -> None:
    field, body = b"Content-Encoding: " + coding, CODED[coding]
    async with connect() as client:
        if chunk_bytes is None:
            await client.send(post(CHAT, body, field))
        else:
            await client.send(request(b"POST " + CHAT, field, CHUNKED))
            for start in range(0, len(body), chunk_bytes):
                await client.send(chunk(body[start : start + chunk_bytes]))
            await client.send(chunk(b""))
        assert (await client.answer()).status == 200
    assert upstream.last.body == FILLED
    assert upstream.last.all("Content-Encoding") == []
    assert upstream.last.all("Content-Length") == [str(len(FILLED))]


async def test_a_coded_body_with_nothing_to_fill_in_goes_on_as_it_decodes(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    """With its byte order mark, and if it isn't JSON."""
    for path, body in ((b"/v1/embeddings", BOM + b'{"model":"m"}'), (CHAT, b"\x00\xff"), (CHAT, b"")):
        sent = await ask(connect, post(path, gzip.compress(body), b"Content-Encoding: gzip"))
        assert (sent.status, upstream.last.body) == (200, body)
        assert upstream.last.all("Content-Encoding") == []


async def test_an_empty_body_of_a_coding_is_empty(connect: Connect, upstream: ScriptedUpstream) -> None:
    assert (await ask(connect, post(CHAT, b"", b"Content-Encoding: gzip"))).status == 200
    assert upstream.last.body == b""


async def test_another_coding_is_415_on_a_path_whose_body_is_read(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    for coding in (b"br", b"gzip, gzip", b"J\xf6rg"):
        answered = await ask(connect, post(CHAT, BODY, b"Content-Encoding: " + coding))
        assert answered.status == 415, coding
        assert answered.one("Accept-Encoding") == "gzip, deflate, zstd"
        assert "gzip, deflate, zstd" in json.loads(answered.body)["error"]["message"]
    assert not upstream.received


async def test_a_corrupt_or_incomplete_body_is_400(connect: Connect, upstream: ScriptedUpstream) -> None:
    for coding, body in CODED.items():
        for broken in (body[:-1], b"{}" + body, body[:1]):
            answered = await ask(connect, post(CHAT, broken, b"Content-Encoding: " + coding))
            assert (answered.status, upstream.received) == (400, []), (coding, broken)


async def test_a_byte_order_mark_is_ignored(connect: Connect, upstream: ScriptedUpstream) -> None:
    """JSON behind it is filled in like any other; a complete body is forwarded byte for byte."""
    assert (await ask(connect, post(CHAT, BOM + BODY))).status == 200
    assert upstream.last.body == FILLED
    whole = BOM + b'{"model":"m","temperature":1,"max_tokens":1}'
    assert (await ask(connect, post(CHAT, whole))).status == 200
    assert upstream.last.body == whole


async def test_admin_takes_coded_bodies_too(connect: Connect) -> None:
    body = BOM + b'{"modelKey":"m","type":"llm"}'
    json_type, path = b"Content-Type: application/json", b"/admin/models/activate"
    assert (await ask(connect, post(path, body, json_type))).status == 200
    packed = gzip.compress(body)
    assert (await ask(connect, post(path, packed, json_type, b"Content-Encoding: gzip"))).status == 200
    assert (await ask(connect, post(path, packed, json_type, b"Content-Encoding: br"))).status == 415


ENCODERS = {b"gzip": gzip.compress, b"deflate": zlib.compress, b"zstd": zstd.compress}


@pytest.mark.parametrize("coding", ENCODERS)
async def test_a_bomb_is_refused_with_bounded_memory(
    tmp_path: Path, upstream: ScriptedUpstream, coding: bytes
) -> None:
    """128 MiB in a thousandth of the bytes, with a limit of 16 MiB."""
    bomb = await asyncio.to_thread(ENCODERS[coding], bytes(8 * MAX_BODY_BYTES))
    assert len(bomb) < MAX_BODY_BYTES
    async with (
        running_process(tmp_path, upstream.base_url, LIMIT) as served,
        raw_client(served.port) as client,
    ):
        answered = await client.ask(post(CHAT, bomb, b"Content-Encoding: " + coding))
        served.measure()
    assert (answered.status, upstream.received) == (413, [])
    assert served.peak < 4 * MAX_BODY_BYTES


@pytest.mark.parametrize("coding", ENCODERS)
async def test_decoding_a_bomb_doesnt_block_the_event_loop(connect: Connect, coding: bytes) -> None:
    """64 MiB are decoded on the event loop, but it is never blocked for more than 50 ms."""
    bomb = await asyncio.to_thread(ENCODERS[coding], bytes(96 * 1024**2))
    async with connect() as client:
        await client.send(post(CHAT, bomb, b"Content-Encoding: " + coding))
        async with longest_turn() as longest:
            answered = await client.answer()
    assert answered.status == 413
    assert longest.seconds < 0.05
