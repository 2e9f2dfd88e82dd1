"""Promises about request headers. RFC 9110 sections 7.2 and 7.6.1, RFC 9112 section 3.2."""

from __future__ import annotations

import asyncio
import gzip

from tests.hostile.conftest import KEY, Connect
from tests.hostile.wire import ask, json_post, reached, request
from tests.support.requests import sized
from tests.support.upstream import Received, ScriptedUpstream, answer

WITH_KEY = b"X-API-Key: %s\r\n" % KEY.encode()
HOP_BY_HOP = {
    "Keep-Alive": b"timeout=5, max=1000",
    "Proxy-Connection": b"keep-alive",
    "TE": b"trailers, deflate;q=0.5",
    "Trailer": b"X-Sum",
    "Upgrade": b"h2c, websocket",
    "Proxy-Authorization": b"Basic dTpw",
}


def either_way(*lines: bytes) -> list[bytes]:
    """A request whose body is forwarded unchanged, and one whose body is filled in."""
    return [request(b"GET /v1/models", *lines), json_post(b"/v1/chat/completions", b"{}", *lines)]


async def test_a_header_named_in_connection_is_not_forwarded(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    for connection in (
        [b"Connection: X-Hop, x-other"],
        [b"connection: keep-alive,X-OTHER ,, X-Hop,"],
        [b"Connection: x-hop", b"Connection: X-Other"],
    ):
        for sent in either_way(b"X-Hop: 1", *connection, b"X-Other: 2", b"x-other: 3", b"X-Kept: 4"):
            assert (await ask(connect, sent)).status == 200
            assert upstream.last.all("X-Hop") == upstream.last.all("X-Other") == [], connection
            assert upstream.last.one("Connection") is None
            assert upstream.last.one("X-Kept") == "4"


async def test_hop_by_hop_request_headers_are_not_forwarded(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    for name, value in HOP_BY_HOP.items():
        for sent in either_way(
            b"%s: %s" % (name.encode(), value), b"%s: %s" % (name.lower().encode(), value)
        ):
            assert (await ask(connect, sent)).status == 200, name
            assert upstream.last.all(name) == []


async def test_repeated_request_headers_all_arrive_in_order(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    lines = [("X-A", "1"), ("Accept", "b"), ("X-A", "0, 9"), ("X-A", ""), ("Accept", "a"), ("X-A", "1")]
    for sent in either_way(*(f"{name}: {value}".encode() for name, value in lines)):
        assert (await ask(connect, sent)).status == 200
        assert [pair for pair in upstream.last.headers if pair[0] in {"X-A", "Accept"}] == lines


async def test_repeated_request_headers_all_arrive_in_any_case(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    for sent in either_way(b"X-A: 1", b"x-a: 2", b"X-A: 3"):
        assert (await ask(connect, sent)).status == 200
        assert upstream.last.all("X-A") == ["1", "2", "3"]


async def test_nothing_is_added_that_the_client_did_not_send(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    """No User-Agent, Accept, Accept-Encoding, Cookie or Content-Type of the gateway's own HTTP client."""
    for path in (b"/v1/files", b"/v1/chat/completions"):
        assert (await ask(connect, request(b"GET " + path))).status == 200
        assert {name for name, _ in upstream.last.headers} == {"Host", "Via"}
        for body in (b"", b"{}", b'{"model":"m","temperature":1,"max_tokens":1}'):
            assert (await ask(connect, request(b"POST " + path, sized(body), body=body))).status == 200
            assert {name for name, _ in upstream.last.headers} == {"Host", "Via", "Content-Length"}


async def test_gzip_is_never_sent_to_a_client_that_did_not_accept_it(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    plain = b'{"usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}'

    async def script(received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        packs = "gzip" in ",".join(received.all("Accept-Encoding"))
        reply = answer(gzip.compress(plain), extra="Content-Encoding: gzip\r\n") if packs else answer(plain)
        await reply(received, reader, writer)

    upstream.script = script
    for line in (b"X-A: nothing said", b"Accept-Encoding: identity", b"Accept-Encoding: br;q=0.5"):
        for sent in either_way(line):
            answered = await ask(connect, sent)
            assert (answered.one("Content-Encoding"), answered.body) == (None, plain), sent
    for sent in either_way(b"Accept-Encoding: gzip"):
        answered = await ask(connect, sent)
        packed = answered.one("Content-Encoding") == "gzip"
        assert (gzip.decompress(answered.body) if packed else answered.body) == plain


async def test_exactly_one_host_goes_upstream_and_it_is_lm_studios(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    for host in (
        b"gateway.local",
        b"evil.example",
        b"evil.example:80",
        b"[::1]:9",
        b"localhost",
        b"169.254.0.1",
    ):
        fields = b"hOST: %s\r\n%s" % (host, WITH_KEY)
        for sent in (
            request(b"GET /v1/models", b"Connection: Host", fields=fields),
            request(b"GET http://evil.example/v1/models", b"X-Forwarded-Host: evil.example", fields=fields),
            json_post(b"/v1/chat/completions", b"{}", fields=fields),
        ):
            assert (await ask(connect, sent)).status == 200, sent
            assert upstream.last.all("Host") == [f"127.0.0.1:{upstream.port}"]
            assert upstream.last.target.startswith("/v1/")


async def test_http_1_1_without_host_is_400(connect: Connect, upstream: ScriptedUpstream) -> None:
    for path in (b"/v1/models", b"/health", b"/admin/models/active", b"/nowhere"):
        assert (await ask(connect, request(b"GET " + path, fields=WITH_KEY))).status == 400, path
    assert await reached(connect, upstream) == []


async def test_two_host_headers_are_400(connect: Connect, upstream: ScriptedUpstream) -> None:
    for second in (b"Host: gateway.local", b"host: evil.example", b"HOST:"):
        for lines in [(second,), (b"X-A: b", second)]:
            for path in (b"/v1/models", b"/health", b"/admin/models/active"):
                answered = await ask(connect, request(b"GET " + path, *lines))
                assert answered.status == 400, (path, second)
    http_1_0 = request(b"GET /v1/models", b"Host: b").replace(b"HTTP/1.1", b"HTTP/1.0")
    assert (await ask(connect, http_1_0)).status == 400
    assert await reached(connect, upstream) == []


HOSTS = [
    b"a b",
    b"a\tb",
    b"a,b",
    b"a;b",
    b"a/b",
    b"a\\b",
    b"a?b",
    b"a#b",
    b"user@a",
    b"http://a",
    b'"a"',
    b"<a>",
    b"a%00",
    b"a\x00b",
    b"a\rb",
    b"\xc3\xa9.example",
    b"\xff",
    b"a:port",
    b"a:-1",
    b"a:+1",
    b"a:80:80",
    b"::1",
    b"[::1",
    b"::1]",
    b"[::1]x",
    b"[::1]:80x",
    b"[zz]",
    b"[]",
    b"[127.0.0.1]x",
    b"",
    b":80",
    b"[evil.com]",
    b"evil%2ecom",
    b"[::1]]",
]
NO_ADDRESSES = [b"[:::]", b"[1]", b"[::1::]", b"[12345::]", b"[1.2.3.4.5]"]


async def test_malformed_host_values_are_400(connect: Connect, upstream: ScriptedUpstream) -> None:
    for host in HOSTS:
        for path in (b"/v1/models", b"/health"):
            sent = request(b"GET " + path, fields=b"Host: %s\r\n%s" % (host, WITH_KEY))
            assert (await ask(connect, sent)).status == 400, host
    assert await reached(connect, upstream) == []


async def test_malformed_addresses_in_host_are_400(connect: Connect) -> None:
    for host in NO_ADDRESSES:
        sent = request(b"GET /v1/models", fields=b"Host: %s\r\n%s" % (host, WITH_KEY))
        assert (await ask(connect, sent)).status == 400, host
