"""Promises about how bodies begin and end on a client's connection. RFC 9110 sections 6.4, 7.8 and 10.1.1,
RFC 9112 sections 6.3 and 9."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import FIELDS, Connect
from tests.hostile.wire import CHAT, GET, PLAIN_BODY, STREAM_BODY, ask, post, request, with_body
from tests.support.raw_client import Answer, RawClient
from tests.support.upstream import STREAM_HEAD, ScriptedUpstream, answer, chunk, raw

UPGRADE = (
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
EVENTS = b"data: 1\n\ndata: 2\n\n"
AS_STREAM = raw(STREAM_HEAD, chunk(EVENTS[:9]), chunk(EVENTS[9:]) + chunk(b""), then_close=False)


async def next_answer(client: RawClient) -> Answer:
    """The response to another request on the same connection."""
    await client.send(post(b"/v1/embeddings", b'{"model":"next"}'))
    return await client.answer()


@pytest.mark.parametrize("framing", [b"Content-Length: 1234\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
async def test_head_has_no_body_keeps_its_length_and_the_connection(
    connect: Connect, upstream: ScriptedUpstream, framing: bytes
) -> None:
    upstream.script = raw(b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n" + framing, then_close=False)
    async with connect() as client:
        await client.send(request(b"HEAD /v1/models") * 2)
        for _ in range(2):
            head = await client.answer(has_body=False)
            assert (head.status, head.one("Content-Type")) == (200, "a/b")
            assert head.one("Content-Length") == ("1234" if b"1234" in framing else None)
        upstream.script = answer(b'"next"')
        assert (await next_answer(client)).body == b'"next"'


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize(
    ("method", "path"), [(b"POST", CHAT), (b"POST", b"/v1/files"), (b"GET", b"/v1/models")]
)
async def test_204_and_304_have_no_body_and_keep_metadata_and_connection(
    connect: Connect, upstream: ScriptedUpstream, method: bytes, path: bytes, status: str
) -> None:
    length = "Content-Length: 1234\r\n" if status.startswith("304") else ""
    head = f'HTTP/1.1 {status}\r\nETag: "x"\r\nContent-Type: a/b\r\nLast-Modified: then\r\n{length}\r\n'
    upstream.script = raw(head.encode(), then_close=False)
    async with connect() as client:
        await client.send(with_body(b"%s %s" % (method, path), PLAIN_BODY))
        answered = await client.answer_head()
        assert f"{answered.status}" in status
        assert (answered.one("ETag"), answered.one("Last-Modified")) == ('"x"', "then")
        assert answered.one("Transfer-Encoding") is None
        assert answered.one("Content-Length") == ("1234" if length else None)
        upstream.script = answer(b'"next"')
        assert (await next_answer(client)).body == b'"next"'


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("path", [CHAT, b"/v1/files"])
async def test_interim_answers_do_not_disturb_the_final_one(
    connect: Connect, upstream: ScriptedUpstream, path: bytes, together: bool
) -> None:
    answers = [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nContent-Length: 7\r\n\r\n",
        b"HTTP/1.1 201 Created\r\nX-Final: 1\r\nContent-Length: 5\r\n\r\nfinal",
    ]
    upstream.script = raw(*([b"".join(answers)] if together else answers), then_close=False)
    async with connect() as client:
        await client.send(post(path, b"body"))
        while (answered := await client.answer()).status < 200:
            assert not answered.body
        assert (answered.status, answered.one("X-Final"), answered.body) == (201, "1", b"final")
        assert answered.one("Link") is None
        upstream.script = answer(b'"next"')
        assert (await next_answer(client)).body == b'"next"'


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("method", "path"),
    [(b"GET", b"/v1/realtime"), (b"POST", CHAT), (b"POST", b"/v1/files"), (b"GET", b"/nowhere")],
)
async def test_an_upgrade_is_ignored_and_the_connection_is_no_tunnel(
    connect: Connect, upstream: ScriptedUpstream, path: bytes, method: bytes, together: bool
) -> None:
    body = b"1234" if method == b"POST" else None
    upgrade = with_body(b"%s %s" % (method, path), body, *UPGRADE)
    follower = request(b"GET /v1/models/marker")
    async with connect() as client:
        answered = await client.ask(upgrade + follower if together else upgrade)
        assert answered.status == (404 if path == b"/nowhere" else 200)
        if not together:
            await client.send(follower)
        assert (await client.answer()).status == 200
        await client.send(b"\x81\x85\x00\x00\x00\x00hello")
        assert b"hello" not in await client.rest()
    *before, marker = upstream.received
    assert marker.target == "/v1/models/marker"
    assert [received.body for received in before] == ([] if path == b"/nowhere" else [body or b""])
    assert not any(received.all("Upgrade") or received.all("Connection") for received in upstream.received)


@pytest.mark.parametrize("protocol", [b"h2c", b"foo/1"])
async def test_an_unknown_upgrade_makes_the_answer_the_connections_last(
    connect: Connect, upstream: ScriptedUpstream, protocol: bytes
) -> None:
    """A client that pipelines behind it isn't left waiting: the response says Connection: close."""
    async with connect() as client:
        await client.send(request(b"GET /v1/models", b"Connection: Upgrade", b"Upgrade: " + protocol) + GET)
        answered = await client.answer()
        assert (answered.status, answered.one("Connection"), await client.rest()) == (200, "close", b"")


async def test_a_body_with_an_unknown_upgrade_arrives_whole(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    """Java's HTTP client offers h2c with its first request."""
    sent = post(b"/v1/files", bytes(900_000), b"Connection: Upgrade", b"Upgrade: h2c")
    assert (await ask(connect, sent)).status == 200
    assert upstream.last.body == bytes(900_000)


@pytest.mark.parametrize("path", [CHAT, b"/v1/files"])
async def test_expect_gets_100_before_the_body_and_then_works(
    connect: Connect, upstream: ScriptedUpstream, path: bytes
) -> None:
    async with connect() as client:
        for expectation in (b"100-continue", b"100-Continue"):
            fields = (b"Expect: " + expectation, b"Content-Length: 28")
            await client.send(request(b"POST " + path, *fields))
            assert (await client.answer_head()).status == 100
            assert (await client.ask(STREAM_BODY[:28])).status == 200
    assert [received.body for received in upstream.received] == [STREAM_BODY[:28]] * 2
    assert not any(received.all("Expect") for received in upstream.received)


@pytest.mark.parametrize("path", [CHAT, b"/v1/files"])
async def test_another_expectation_is_ignored_or_417(
    connect: Connect, upstream: ScriptedUpstream, path: bytes
) -> None:
    async with connect() as client:
        assert (await client.ask(post(path, b"{}", b"Expect: 200-ok"))).status in {200, 417}
    assert not any(received.all("Expect") for received in upstream.received)


@pytest.mark.parametrize("keep_alive", [b"", b"Connection: keep-alive\r\n"])
@pytest.mark.parametrize(
    ("body", "is_stream"), [(STREAM_BODY, True), (PLAIN_BODY, False)], ids=["stream", "plain"]
)
async def test_an_http_1_0_client_gets_no_chunks(
    connect: Connect, upstream: ScriptedUpstream, body: bytes, is_stream: bool, keep_alive: bytes
) -> None:
    plain = raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(EVENTS) + chunk(b""),
        then_close=False,
    )
    upstream.script = AS_STREAM if is_stream else plain
    async with connect() as client:
        await client.send(
            b"POST %s HTTP/1.0\r\n%s%sContent-Length: %d\r\n\r\n%s"
            % (CHAT, FIELDS, keep_alive, len(body), body)
        )
        answered = await client.answer_head()
        assert (answered.one("Transfer-Encoding"), answered.one("Content-Length")) == (None, None)
        assert (answered.one("Connection") or "close") == "close"
        assert await client.rest() == EVENTS


@pytest.mark.parametrize("path", [CHAT, b"/v1/files", b"/nowhere"])
async def test_connection_close_is_honoured_and_keep_alive_otherwise(
    connect: Connect, upstream: ScriptedUpstream, path: bytes
) -> None:
    upstream.script = AS_STREAM
    async with connect() as client:
        for _ in range(3):
            assert (await client.ask(post(path, PLAIN_BODY))).one("Connection") in {None, "keep-alive"}
        assert (await client.ask(post(path, PLAIN_BODY, b"Connection: close"))).one("Connection") == "close"
        assert await client.rest() == b""
