"""Promises about heads that are too large. RFC 9110 sections 5.4 and 15.5.14, RFC 9112 section 3."""

from __future__ import annotations

import asyncio

import pytest

from tests.hostile.conftest import FIELDS, Connect
from tests.hostile.wire import assert_refused, reached, request, sent_until_cut_off
from tests.support.requests import CHUNKED
from tests.support.upstream import ScriptedUpstream

LARGE = b"a" * 128 * 1024


async def test_one_128_kib_header_and_20_000_headers_are_400_or_431(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    many = [b"X-%d: a" % number for number in range(20_000)]
    for lines in ([b"X-A: " + LARGE], [LARGE + b": b"], many):
        await assert_refused(connect, request(b"GET /v1/models", *lines), 400, 431)
    assert await reached(connect, upstream) == []


async def test_a_128_kib_url_is_400_or_414(connect: Connect, upstream: ScriptedUpstream) -> None:
    for target in (b"/v1/" + LARGE, b"/v1/models?" + LARGE, b"http://%s/v1/models" % LARGE):
        await assert_refused(connect, request(b"GET " + target), 400, 414)
    assert await reached(connect, upstream) == []


@pytest.mark.parametrize("cut", [0, 20_000], ids=["at once", "in two pieces"])
async def test_a_head_whose_lines_are_short_enough_is_431_if_all_of_it_is_too_large(
    connect: Connect, upstream: ScriptedUpstream, cut: int
) -> None:
    sent = request(b"GET /v1/models", *[b"X-%d: %s" % (number, b"a" * 4000) for number in range(10)])
    async with connect() as client:
        await client.send(sent[:cut])
        await asyncio.sleep(0.01)
        assert (await client.ask(sent[cut:])).status == 431
    assert await reached(connect, upstream) == []


HEAD = b"GET /v1/models HTTP/1.1\r\n" + FIELDS
ENDLESS = {
    "value": (HEAD + b"X-A: ", b"a" * 1000),
    "lines": (HEAD, b"X-A: %s\r\n" % (b"a" * 100)),
    "long lines": (HEAD, b"X-A: %s\r\n" % (b"a" * 30_000)),
    "short lines": (HEAD, b"a:\r\n" * 25),
    "path": (b"GET /v1/", b"a" * 1000),
    "method": (b"", b"A" * 1000),
    "trailers": (request(b"POST /v1/files", CHUNKED, body=b"1\r\na\r\n0\r\n"), b"X-A: b\r\n" * 100),
    "trailer": (request(b"POST /v1/files", CHUNKED, body=b"1\r\na\r\n0\r\nX-A: "), b"a" * 1000),
}


async def test_an_endless_header_block_is_cut_off_before_2_mib(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    for kind, (head, piece) in ENDLESS.items():
        async with connect() as client:
            assert await sent_until_cut_off(client, head, piece, 2 * 1024**2) < 2 * 1024**2, kind
    assert await reached(connect, upstream) == []
