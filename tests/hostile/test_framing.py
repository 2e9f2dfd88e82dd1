"""Promises about where a message ends by its head. RFC 9112 sections 6.1 and 6.3, RFC 9110 section 8.6."""

from __future__ import annotations

import asyncio

import pytest

from tests.hostile.conftest import FIELDS, Connect
from tests.hostile.wire import (
    BODY_PATHS,
    WITHOUT_KEY,
    ask,
    assert_refused,
    outcome,
    reached,
    request,
    statuses,
)
from tests.support.requests import CHUNKED, sized
from tests.support.upstream import Received, ScriptedUpstream, answer

SMUGGLED = request(b"GET /v1/smuggled")
NO_LENGTHS = [
    b"+5",
    b"-5",
    b"0x5",
    b"5 5",
    b"5.",
    b"5.0",
    b"5e0",
    b"5,",
    b",5",
    b"5;",
    b'"5"',
    b"0_5",
    b"five",
    b"",
    b"%d" % (2**64 + 5),
    b"9" * 30,
    "\N{ARABIC-INDIC DIGIT FIVE}".encode(),
    "\N{FULLWIDTH DIGIT FIVE}".encode(),
    "\N{SUPERSCRIPT FIVE}".encode(),
]


TWO_FRAMINGS = [
    (b"Content-Length: 5", CHUNKED),
    (CHUNKED, b"Content-Length: 5"),
    (b"tRANSFER-eNCODING: cHUNKED", b"cONTENT-lENGTH: 5"),
    (b"content-length: 5", b"X-A: b", b"transfer-encoding: chunked"),
    (b"Content-Length: 0", CHUNKED),
    (CHUNKED, b"Content-Length: 5", CHUNKED),
    (b"Transfer-Encoding: identity", b"Content-Length: 5"),
    (b"Transfer-Encoding: xchunked", b"Content-Length: 5"),
    (b"Transfer-Encoding: chunked, identity", b"Content-Length: 5"),
    (b"Transfer-Encoding:\x0bchunked", b"Content-Length: 5"),
    (b"Transfer-Encoding:\r\n chunked", b"Content-Length: 5"),
    (b"Transfer-Encoding : chunked", b"Content-Length: 5"),
]


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


async def test_content_length_with_transfer_encoding_is_refused_in_any_order_and_case(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    for lines in TWO_FRAMINGS:
        for path in BODY_PATHS[:2]:
            sent = request(b"POST " + path, *lines, body=b"0\r\n\r\n" + SMUGGLED)
            await assert_refused(connect, sent, 400, 501)
    assert await reached(connect, upstream) == []


async def test_a_transfer_coding_that_the_gateway_does_not_know_is_refused(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    """LM Studio would read the coded bytes as the body."""
    sent = request(b"POST /v1/files", b"Transfer-Encoding: gzip, chunked", body=chunked(b"\x1f\x8b\x08"))
    assert (await ask(connect, sent)).status in {400, 501}
    assert await reached(connect, upstream) == []


async def test_a_transfer_coding_in_http_1_0_is_refused_and_ends_the_connection(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    """HTTP/1.0 knows none: a proxy in front may see the body's end elsewhere (RFC 9112 section 6.1)."""
    for path in BODY_PATHS:
        head = b"POST %s HTTP/1.0\r\n%s%s\r\nConnection: keep-alive\r\n\r\n" % (path, FIELDS, CHUNKED)
        async with connect() as client:
            answered = await outcome(client, head + chunked(b"{}") + SMUGGLED)
        assert statuses(answered) == [400]
        assert b"Connection: keep-alive" not in answered
    assert await reached(connect, upstream) == []


async def test_two_differing_content_lengths_are_400(connect: Connect, upstream: ScriptedUpstream) -> None:
    for lines in (
        (b"Content-Length: 4", b"Content-Length: 5"),
        (b"Content-Length: 5", b"content-length: 4"),
        (b"Content-Length: 4, 5",),
        (b"Content-Length: 5,4",),
        (b"Content-Length: 5", b"Content-Length: 5, 4"),
        (b"Content-Length: 5", b"Content-Length:"),
        (b"Content-Length: 5", b"Content-Length: 05"),
    ):
        for path in BODY_PATHS:
            sent = request(b"POST " + path, *lines, body=b"abcde" + SMUGGLED)
            async with connect() as client:
                assert statuses(await outcome(client, sent)) == [400], lines
    assert await reached(connect, upstream) == []


async def test_equal_duplicate_content_lengths_are_refused_or_one_is_forwarded(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    for lines in ((sized(b"abcde"), sized(b"abcde")), (b"Content-Length: 5, 5",)):
        sent = request(b"POST /v1/files", *lines, b"Connection: close", body=b"abcde")
        async with connect() as client:
            (status,) = statuses(await outcome(client, sent))
        if status != 400:
            assert (status, upstream.last.body, upstream.last.all("Content-Length")) == (200, b"abcde", ["5"])


async def test_content_length_that_is_no_number_is_400(connect: Connect, upstream: ScriptedUpstream) -> None:
    for value in NO_LENGTHS:
        sent = request(b"POST /v1/files", b"Content-Length: " + value, body=b"abcde" + SMUGGLED)
        async with connect() as client:
            assert statuses(await outcome(client, sent)) == [400], value
    assert await reached(connect, upstream) == []


async def test_content_length_of_10_gib_is_413_at_once(connect: Connect, upstream: ScriptedUpstream) -> None:
    lines = (b"Content-Type: application/json", b"Content-Length: %d" % (10 * 1024**3))
    for path in BODY_PATHS:
        answered = await ask(connect, request(b"POST " + path, *lines))
        assert (answered.status, answered.one("Connection")) == (413, "close"), path
    assert await reached(connect, upstream) == []


@pytest.mark.parametrize("leaves", ["its own side ends", "it is gone"])
async def test_half_a_body_makes_no_complete_request_upstream(
    connect: Connect, upstream: ScriptedUpstream, leaves: str
) -> None:
    for path in BODY_PATHS:
        for line, part in [(b"Content-Length: 1000", b"a" * 400), (CHUNKED, b"3e8\r\n" + b"a" * 400)]:
            async with connect() as client:
                lines = (b"Content-Type: application/json", b"Expect: 100-continue", line)
                await client.send(request(b"POST " + path, *lines))
                assert b" 100 " in await client.head()
                await client.send(part)
                if leaves == "it is gone":
                    client.hang_up()
                else:
                    client.writer.write_eof()
                    assert 200 not in statuses(await client.rest())
            if path == b"/v1/files":
                # LM Studio has received its beginning, so its connection must be closed.
                await asyncio.wait_for(upstream.gone.get(), 3)
    assert await reached(connect, upstream) == []


async def test_a_get_with_a_body_does_not_desync_the_connection(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    for target in (b"/v1/models", b"/v1/chat/completions", b"/health", b"/admin/models/active", b"/nowhere"):
        for lines, body in (((sized(SMUGGLED),), SMUGGLED), ((CHUNKED,), chunked(SMUGGLED))):
            async with connect() as client:
                await client.send(
                    request(b"GET " + target, *lines, body=body)
                    + request(b"GET /v1/second", b"Connection: close")
                )
                first, *second = statuses(await client.rest())
                assert first in {200, 400, 404}, target
                assert second in ([200], []), target
    arrived = await reached(connect, upstream)
    assert not [line for line in arrived if "smuggled" in line]
    assert {received.body for received in upstream.received if "second" in received.target} <= {b""}


async def test_the_body_of_a_refused_request_is_no_next_request(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    for lines, body in (((sized(SMUGGLED),), SMUGGLED), ((CHUNKED,), chunked(SMUGGLED))):
        for path in (b"/v1/files", b"/v1/chat/completions", b"/nowhere"):
            async with connect() as client:
                await client.send(request(b"POST " + path, *lines, body=body, fields=WITHOUT_KEY))
                await client.send(request(b"GET /health", b"Connection: close"))
                first, *second = statuses(await client.rest())
            assert first == 401
            assert second in ([], [200])
    assert await reached(connect, upstream) == []


async def test_pipelined_requests_are_answered_once_each_in_order_even_if_the_first_is_slow(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    others_may_go = asyncio.Event()

    async def script(received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if received.target == "/v1/0":
            await others_may_go.wait()
        await answer(received.target.encode())(received, reader, writer)

    upstream.script = script
    async with connect() as client:
        for number in range(9):
            await client.send(
                request(b"GET /v1/%d" % number)
                if number % 3
                else request(b"POST /v1/%d" % number, CHUNKED, body=chunked(b"abc"))
            )
        assert (await asyncio.wait_for(upstream.arrivals.get(), 3)).target == "/v1/0"
        await ask(connect, request(b"GET /v1/other"))
        others_may_go.set()
        for number in range(9):
            assert (await client.answer()).body == b"/v1/%d" % number
    arrived = [received.target for received in upstream.received if received.target != "/v1/other"]
    assert arrived == [f"/v1/{number}" for number in range(9)]
