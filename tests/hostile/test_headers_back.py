"""Promises about response headers, odd values, and Via. RFC 9110 sections 5.5, 7.6.1, 7.6.3 and 15."""

from __future__ import annotations

import itertools
from functools import partial

from tests.conftest import StartGateway
from tests.hostile.conftest import KEY, Connect
from tests.hostile.wire import GET, ask, json_post, post, reached, request
from tests.support.raw_client import raw_client
from tests.support.upstream import ScriptedUpstream, answer, raw

CHAT = json_post(b"/v1/chat/completions", b'{"stream": true}')
EITHER_WAY = [GET, CHAT]
UTF_8 = "café 日本".encode()
ERRORS = [
    ("418 I'm a teapot", ""),
    ("429 Too Many Requests", "Retry-After: 17\r\n"),
    ("503 Service Unavailable", "Retry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n"),
    ("500 Internal Server Error", ""),
    ("404 Not Found", ""),
    ("401 Unauthorized", 'WWW-Authenticate: Basic realm="LM Studio"\r\n'),
]


async def test_a_response_header_named_in_connection_is_not_passed_on(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    for connection in (
        "Connection: X-Hop, x-other\r\n",
        "connection: keep-alive,X-OTHER ,, X-Hop,\r\n",
        "Connection: X-Hop\r\nConnection: x-other\r\n",
    ):
        upstream.script = answer(extra=f"X-Hop: 1\r\n{connection}X-Other: 2\r\nX-Kept: 3\r\n")
        for sent in EITHER_WAY:
            answered = await ask(connect, sent)
            assert answered.all("X-Hop") == answered.all("X-Other") == [], connection
            assert answered.one("X-Kept") == "3"


async def test_hop_by_hop_response_headers_are_not_passed_on(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    names = {
        "Keep-Alive": "timeout=5, max=1000",
        "Proxy-Connection": "keep-alive",
        "Upgrade": "h2c",
        "Trailer": "X-Sum",
        "Proxy-Authenticate": "Basic",
    }
    for name, value in names.items():
        for spelt in (name, name.lower(), name.upper()):
            upstream.script = answer(extra=f"{spelt}: {value}\r\n")
            for sent in EITHER_WAY:
                assert (await ask(connect, sent)).all(name) == [], spelt


async def test_repeated_response_headers_all_arrive(connect: Connect, upstream: ScriptedUpstream) -> None:
    lines = [
        ("Set-Cookie", "a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT"),
        ("Link", "<a>"),
        ("Set-Cookie", "b=2"),
        ("Link", "<b>, <c>"),
        ("Set-Cookie", "a=1"),
    ]
    upstream.script = answer(extra="".join(f"{name}: {value}\r\n" for name, value in lines))
    for sent in EITHER_WAY:
        answered = await ask(connect, sent)
        assert [pair for pair in answered.headers if pair[0].lower() in {"set-cookie", "link"}] == lines


async def test_obs_text_in_a_request_arrives_unchanged_or_not_at_all(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    """Browsers and Node send Latin-1 (RFC 9110 section 5.5), as in the name Jörg."""
    names = (b"X-User-Name", b"User-Agent", b"X-Title", b"Cookie", b"Authorization", b"X-Request-Id")
    values = (b"J\xf6rg", b"\xff\xfe", b"\x80", b"\xc3", b"a\xed\xa0\x80b", UTF_8)
    for name, value in itertools.product(names, values):
        line = b"%s: %s" % (name, value)
        for sent in (
            request(b"GET /v1/models", line, b"X-Kept: 1"),
            json_post(b"/v1/chat/completions", b"{}", line, b"X-Kept: 1"),
        ):
            assert (await ask(connect, sent)).status == 200, line
            spelt = value.decode("latin-1")
            assert upstream.last.one(name.decode()) in ({spelt} if value == UTF_8 else {spelt, None})
            assert upstream.last.one("X-Kept") == "1"


async def test_obs_text_in_a_response_arrives_unchanged_or_not_at_all(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    for value in (b"caf\xe9", b"\xff\xfe", b"\x80", b"\xc3", b"a\xed\xa0\x80b", UTF_8):
        spelt = value.decode("latin-1")
        upstream.script = answer(b"body", extra=f"X-Odd: {spelt}\r\nX-Kept: 1\r\n")
        for sent in EITHER_WAY:
            answered = await ask(connect, sent)
            assert (answered.status, answered.body, answered.one("X-Kept")) == (200, b"body", "1"), value
            assert answered.one("X-Odd") in ({spelt} if value == UTF_8 else {spelt, None})


async def test_status_body_and_headers_of_upstream_errors_pass_untouched(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    body = b'{"error" : 1.0, "error":"\\u00e9", "n": 12345678901234567890}\n'
    content_type = "application/problem+json"
    for (status, extra), sent in itertools.product(ERRORS, EITHER_WAY):
        lines = f"{extra}X-A: 1\r\nX-A: 2\r\n"
        upstream.script = answer(body, status=status, content_type=content_type, extra=lines)
        async with connect() as client:
            await client.send(sent)
            head = await client.head()
            assert head.startswith(f"HTTP/1.1 {status}\r\n".encode())
            assert lines.encode() in head
            assert f"Content-Type: {content_type}\r\n".encode() in head
            assert await client.reader.readexactly(len(body)) == body


async def test_an_upstream_redirect_goes_to_the_client(connect: Connect, upstream: ScriptedUpstream) -> None:
    places = (f"{upstream.base_url}/v1/internal", "/v1/internal", "//127.0.0.1:1/x", "file:///etc/passwd")
    for status, place in zip((301, 302, 303, 307, 308), itertools.cycle(places), strict=False):
        upstream.script = answer(b"moved", status=f"{status} Elsewhere", extra=f"Location: {place}\r\n")
        for sent in EITHER_WAY:
            answered = await ask(connect, sent)
            assert (answered.status, answered.one("Location")) == (status, place)
    assert len(await reached(connect, upstream)) == 10
    assert {received.target for received in upstream.received[:-1]} == {"/v1/models", "/v1/chat/completions"}


async def test_a_cookie_set_for_one_client_is_never_sent_for_another(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    # A cookie jar ignores cookies from an address, so LM Studio has a name here.
    gateway = await start_gateway(f"http://localhost:{upstream.port}", auth={"api_key": KEY})
    connect = partial(raw_client, gateway.port)
    upstream.script = answer(extra="Set-Cookie: session=alice; Path=/\r\nSet-Cookie: a=b\r\n")
    upload = post(b"/v1/files", b"x")  # sent by aiohttp's own session
    for sent in (*EITHER_WAY, upload):
        assert (await ask(connect, sent)).one("X-Request-Id")
    upstream.script = answer()
    for sent in (*EITHER_WAY, upload):
        await ask(connect, sent)
        assert upstream.last.all("Cookie") == []
    await ask(connect, request(b"GET /v1/models", b"Cookie: session=bob"))
    assert upstream.last.all("Cookie") == ["session=bob"]


async def test_range_and_if_none_match_pass_and_206_comes_back(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    upstream.script = answer(
        b"cde", status="206 Partial Content", extra='Content-Range: bytes 2-4/10\r\nETag: "x"\r\n'
    )
    lines = (b"Range: bytes=2-4", b'If-None-Match: "y", W/"z"', b'If-Range: "x"')
    answered = await ask(connect, request(b"GET /v1/files/1/content", *lines))
    assert (answered.status, answered.body) == (206, b"cde")
    assert (answered.one("Content-Range"), answered.one("ETag")) == ("bytes 2-4/10", '"x"')
    for line in lines:
        name, _, value = line.decode().partition(": ")
        assert upstream.last.one(name) == value


async def test_a_reason_that_cannot_be_written_is_left_out(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    upstream.script = raw(b"HTTP/1.1 200 a\x1b[1m\r\nContent-Length: 2\r\n\r\nok")
    answered = await ask(connect, GET)
    assert (answered.status, answered.body) == (200, b"ok")


async def test_via_is_added_after_the_existing_ones(connect: Connect, upstream: ScriptedUpstream) -> None:
    for sent in (
        request(b"GET /v1/models", b"Via: 1.0 fred"),
        json_post(b"/v1/responses", b"{}", b"via: 1.0 fred"),
    ):
        assert (await ask(connect, sent)).status == 200
        theirs, own = upstream.last.all("Via")
        assert theirs == "1.0 fred"
        assert own.startswith("1.1 ")


async def test_via_has_the_version_of_the_request(connect: Connect, upstream: ScriptedUpstream) -> None:
    sent = GET.replace(b"HTTP/1.1", b"HTTP/1.0")
    assert (await ask(connect, sent)).status == 200
    assert (upstream.last.one("Via") or "").startswith("1.0 ")


async def test_a_request_with_the_gateways_own_via_is_a_loop(
    connect: Connect, upstream: ScriptedUpstream, start_gateway: StartGateway
) -> None:
    """Unlike two gateways in a row."""
    await ask(connect, GET)
    been_here = (upstream.last.one("Via") or "").encode()
    for via in (
        b"Via: " + been_here,
        b"Via: 1.0 a, %s, 1.1 b" % been_here,
        b"Via: 1.1 a\r\nVia: " + been_here,
    ):
        for sent in (request(b"GET /v1/models", via), json_post(b"/v1/chat/completions", b"{}", via)):
            assert (await ask(connect, sent)).status == 508, via
    second = await start_gateway(upstream.base_url, auth={"api_key": KEY})
    async with raw_client(second.port) as client:
        assert (await client.ask(request(b"GET /v1/second", b"Via: " + been_here))).status == 200
    assert await reached(connect, upstream) == ["GET /v1/models HTTP/1.1", "GET /v1/second HTTP/1.1"]
