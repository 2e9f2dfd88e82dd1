"""Promises about broken lines. RFC 9112 sections 2.2, 3 and 5.1, RFC 9110 section 5.5."""

from __future__ import annotations

import random

import pytest

from tests.hostile.conftest import FIELDS, Connect
from tests.hostile.wire import GET, ask, assert_refused, reached, request
from tests.support.upstream import ScriptedUpstream

NO_LINES = [
    b"X-A: a\x00b",
    b"X\x00A: b",
    b"X-A: a\rX-B: c",
    b"X-A: a\r b",
    b"X-A: a\nX-B: c",
    b"X-A: a\x01b",
    b"X-A: \x1b[31m",
    b"X-A: a\x7fb",
    b"X-A : b",
    b"X-A\t: b",
    b"Content-Length : 5",
    b": b",
    b":",
    b"X-A",
    b" X-A: b",
    b"X-A: a\r\n b",
    b"X(A): b",
    b"X@A: b",
    b"X A: b",
    b'"X": b',
    b"X\x0bA: b",
    b"X\x7fA: b",
    "Xé: b".encode(),
    b"\xff: b",
]
NO_REQUEST_LINES = [
    b"GET",
    b"GET HTTP/1.1",
    b"/v1/models HTTP/1.1",
    b" GET /v1/models HTTP/1.1",
    b"GET /v1/models HTTP/1.1 x",
    b"GET /v1/models HTTP/1.1 ",
    b"GET /v1/mod els HTTP/1.1",
    b"GET\t/v1/models\tHTTP/1.1",
    b"GET /v1/models\tx HTTP/1.1",
    b"GET v1/models HTTP/1.1",
    b"GET /v1/mo\x00dels HTTP/1.1",
    b"GET /v1/mo\rdels HTTP/1.1",
    b"GET /v1/mo\x7fdels HTTP/1.1",
    b"GET /v1/models HTTP/1",
    b"GET /v1/models HTTP/11",
    b"GET /v1/models HTTP/1.10",
    b"GET /v1/models HTTP/1.1.1",
    b"GET /v1/models HTTP/1.2",
    b"GET /v1/models HTTP/3.0",
    b"GET /v1/models HTTP/-1.1",
    "GET /v1/models HTTP/\N{ARABIC-INDIC DIGIT ONE}.1".encode(),
    b"GET /v1/models http/1.1",
    b"GET /v1/models HTTQ/1.1",
    b"GET /v1/models HTP/1.1",
    b"GET /v1/models ICE/1.0",
    b"G@T /v1/models HTTP/1.1",
    b"get /v1/models HTTP/1.1",
    b"G\x00ET /v1/models HTTP/1.1",
]
# Accepted as HTTP by llhttp.
OTHER_PROTOCOLS = [
    b"GET /v1/models",
    b"GET /v1/models HTTP/0.9",
    b"GET /v1/models HTTP/2.0",
]
NOISE = {
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "TLS": bytes.fromhex("16030100c8010000c40303") + bytes(range(190)),
    "TLS without a line's end": bytes.fromhex("16030100c8010000c40303") + b"\xaa" * 190,
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "SOCKS": b"\x05\x01\x00",
    "every byte": bytes(range(256)) * 4,
    "noise": random.Random(1).randbytes(4096),
    "zeros": bytes(4096),
    "text": b"hello, is anybody there?\r\n\r\n",
}


async def test_malformed_header_lines_are_400(connect: Connect, upstream: ScriptedUpstream) -> None:
    for line in NO_LINES:
        await assert_refused(connect, request(b"GET /v1/models", b"X-Before: 1", line, b"X-After: 2"))
    await assert_refused(connect, b"GET /v1/models HTTP/1.1\r\n X-A: b\r\n" + FIELDS + b"\r\n")
    await assert_refused(connect, b"GET /v1/models HTTP/1.1\r\n Host: a\r\n\r\n" + FIELDS + b"\r\n")
    assert await reached(connect, upstream) == []


async def test_broken_request_lines_are_refused_and_the_gateway_goes_on(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    for line in NO_REQUEST_LINES:
        await assert_refused(connect, line + b"\r\n" + FIELDS + b"\r\n", 400, 505)
    assert await reached(connect, upstream) == []


@pytest.mark.parametrize("line", OTHER_PROTOCOLS)
async def test_http_0_9_and_other_versions_are_refused(
    connect: Connect, upstream: ScriptedUpstream, line: bytes
) -> None:
    try:
        await assert_refused(connect, line + b"\r\n" + FIELDS + b"\r\n", 400, 505)
    finally:
        assert await reached(connect, upstream) == []


async def test_other_protocols_and_noise_are_refused_and_the_gateway_goes_on(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    for noise in NOISE.values():
        await assert_refused(connect, noise, 400, 505)
    assert await reached(connect, upstream) == []


async def test_an_empty_line_before_the_request_line_is_ignored(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    for lines in (b"\r\n", b"\r\n\r\n"):
        assert (await ask(connect, lines + GET)).status == 200
    async with connect() as client:
        for _ in range(3):
            assert (await client.ask(GET + b"\r\n")).status == 200
    assert len(upstream.received) == 5
