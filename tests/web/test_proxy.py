"""What passes through the gateway, byte for byte."""

from __future__ import annotations

import asyncio
import gzip

import aiohttp
import pytest
from multidict import CIMultiDict

from tests.conftest import StartGateway
from tests.support.raw_client import raw_client
from tests.support.upstream import Received, ScriptedUpstream, answer, raw, read_body

KEY = {"auth": {"api_key": "a key"}}
AUTHORIZED = {"X-API-Key": "a key"}


@pytest.mark.parametrize(
    ("sent", "arrives"),
    [
        ("/v1/models?a=1&a=&b=%2B+%26&c", "/v1/models?a=1&a=&b=%2B+%26&c"),
        ("/v1/mod%0Aels%0d%0a", "/v1/mod%0Aels%0d%0a"),
        ("/v1/models/org%2Fmodel%20x/%c3%A9", "/v1/models/org%2Fmodel%20x/%c3%A9"),
        ("/v1//models//x", "/v1/models/x"),
        ("//v1/v1/models", "/v1/models"),
        ("/chat//completions?x=//", "/v1/chat/completions?x=//"),
        ("/api//v0/models", "/api/v0/models"),
        ("/api/v0/models", "/api/v0/models"),
        ("/chat/completions?x=1", "/v1/chat/completions?x=1"),
        ("/models/some/model", "/v1/models/some/model"),
        ("/audio/transcriptions", "/v1/audio/transcriptions"),
    ],
)
async def test_target_arrives_byte_for_byte(
    start_gateway: StartGateway, upstream: ScriptedUpstream, sent: str, arrives: str
) -> None:
    """LM Studio sees the path and query that the client wrote, with /v1 before a short path."""
    gateway = await start_gateway(upstream.base_url)
    async with gateway.client.get(gateway.url(sent)) as response:
        assert response.status == 200
    assert upstream.last.target == arrives


async def test_path_prefix_of_the_base_url_is_kept(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """An LM Studio behind a path prefix gets that prefix before every path."""
    gateway = await start_gateway(f"{upstream.base_url}/studio/")
    async with gateway.client.get(gateway.url("/v1/models")):
        pass
    assert upstream.last.target == "/studio/v1/models"


async def test_absolute_form_is_taken_for_this_gateway(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """A target with another host's name in it never makes the gateway ask that host."""
    gateway = await start_gateway(upstream.base_url, **KEY)
    async with raw_client(gateway.port) as client:
        target = b"http://evil.example/v1/models?q"
        await client.send(b"GET %s HTTP/1.1\r\nHost: localhost\r\nX-API-Key: a key\r\n\r\n" % target)
        assert b" 200 " in await client.head()
    assert upstream.last.target == "/v1/models?q"
    assert upstream.last.one("Host") == f"127.0.0.1:{upstream.port}"


@pytest.mark.parametrize(
    "path", ["/v1/admin/models", "/v1/debug", "/v1/health", "/v1/../admin", "/v1/%2e%2e/x"]
)
async def test_own_places_are_not_reachable_through_v1(
    start_gateway: StartGateway, upstream: ScriptedUpstream, path: str
) -> None:
    """The gateway's own names below /v1, and ways out of /v1, lead nowhere."""
    gateway = await start_gateway(upstream.base_url)
    async with gateway.client.get(gateway.url(path)) as response:
        assert response.status in {400, 404}
    assert not upstream.received


async def test_nothing_is_added_to_a_bare_request(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Beside Host and Via, LM Studio gets only the headers that the client sent."""
    gateway = await start_gateway(upstream.base_url, **KEY)
    async with raw_client(gateway.port) as client:
        await client.send(
            b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nx-api-key: a key\r\nX-A: 1\r\nX-A: 2\r\n\r\n"
        )
        await client.head()
    assert [(name, value) for name, value in upstream.last.headers if name != "Via"] == [
        ("Host", f"127.0.0.1:{upstream.port}"),
        ("X-A", "1"),
        ("X-A", "2"),
    ]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
async def test_every_method_passes_with_its_body(
    start_gateway: StartGateway, upstream: ScriptedUpstream, method: str
) -> None:
    """Methods aren't the gateway's to judge, and a binary body arrives as it was sent."""
    gateway, body = await start_gateway(upstream.base_url), bytes(range(256)) * 4096
    async with gateway.client.request(method, gateway.url("/v1/files"), data=body) as response:
        assert response.status == 200
    assert (upstream.last.method, upstream.last.body) == (method, body)
    assert upstream.last.one("Content-Length") == str(len(body))


async def test_upload_passes_while_it_is_coming_in(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """A large upload isn't collected: LM Studio has its first part before the client has sent the rest."""
    gateway, first_arrived, arrived = await start_gateway(upstream.base_url), asyncio.Event(), bytearray()
    upstream.reads_body = False

    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"5\r\n"
        arrived.extend((await reader.readexactly(7))[:5])
        first_arrived.set()
        arrived.extend(await read_body(request, reader))
        await answer()(request, reader, writer)

    async def body():  # type: ignore[no-untyped-def]
        yield b"first"
        await asyncio.wait_for(first_arrived.wait(), 5)
        yield b"second"

    upstream.script = script
    async with gateway.client.post(gateway.url("/v1/audio/transcriptions"), data=body()) as response:
        assert response.status == 200
    assert bytes(arrived) == b"firstsecond"


async def test_compressed_bodies_pass_as_they_are(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Neither way is a body unpacked, and its Content-Encoding stays with it."""
    gateway, packed = await start_gateway(upstream.base_url), gzip.compress(b'{"input": "x"}')
    upstream.script = answer(packed, extra="Content-Encoding: gzip\r\n")
    headers = {"Content-Encoding": "gzip"}
    async with gateway.client.post(gateway.url("/v1/files"), data=packed, headers=headers) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert await response.read() == packed
    assert (upstream.last.body, upstream.last.one("Content-Encoding")) == (packed, "gzip")


@pytest.mark.parametrize(
    ("path", "limit"),
    [("/v1/chat/completions", "max_body_bytes"), ("/v1/audio/translations", "max_upload_bytes")],
)
@pytest.mark.parametrize("announced", [True, False])
async def test_too_large_body_is_refused(
    start_gateway: StartGateway, upstream: ScriptedUpstream, path: str, limit: str, announced: bool
) -> None:
    """A body over the limit gets 413, whether its length is announced or found out."""
    gateway = await start_gateway(upstream.base_url, proxy={limit: 1000})

    async def body():  # type: ignore[no-untyped-def]
        for _ in range(11):
            yield b"x" * 100

    data = b"x" * 1100 if announced else body()
    async with gateway.client.post(gateway.url(path), data=data) as response:
        assert response.status == 413
        assert "1000 bytes" in (await response.json())["error"]["message"]
    assert not any(len(request.body) for request in upstream.received)


@pytest.mark.parametrize("status", ["418 I'm a teapot", "429 Too Many Requests", "500 Oops", "302 Found"])
async def test_status_headers_and_body_come_back_as_sent(
    start_gateway: StartGateway, upstream: ScriptedUpstream, status: str
) -> None:
    """LM Studio's errors and redirects are the client's to see, on a streaming request too."""
    gateway, body = await start_gateway(upstream.base_url), b'{"a":1.0,"a":12345678901234567890}'
    upstream.script = answer(
        body, status=status, extra="X-B: 1\r\nX-B: 2\r\nLocation: /elsewhere\r\nSet-Cookie: a=b\r\n"
    )
    url = gateway.url("/v1/chat/completions")
    async with gateway.client.post(url, json={"stream": True}, allow_redirects=False) as response:
        assert f"{response.status} {response.reason}" == status
        assert response.headers.getall("X-B") == ["1", "2"]
        assert response.headers["Set-Cookie"] == "a=b"
        assert await response.read() == body
    async with gateway.client.get(gateway.url("/v1/models")):
        assert upstream.last.one("Cookie") is None


@pytest.mark.parametrize(
    ("method", "status", "length"),
    [("HEAD", "200 OK", "1234"), ("GET", "304 Not Modified", "1234"), ("GET", "204 No Content", None)],
)
async def test_answers_without_body_keep_the_connection_usable(
    start_gateway: StartGateway, upstream: ScriptedUpstream, method: str, status: str, length: str | None
) -> None:
    """HEAD, 204 and 304 have no body, keep their metadata, and the next answer is not mistaken for it."""
    gateway = await start_gateway(upstream.base_url)
    upstream.script = raw(
        f"HTTP/1.1 {status}\r\nETag: x\r\n".encode()
        + (f"Content-Length: {length}\r\n\r\n" if length else "\r\n").encode(),
        then_close=False,
    )
    async with raw_client(gateway.port) as client:
        request = f"{method} /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        for _ in range(2):
            await client.send(request)
            head = await client.head()
            assert head.startswith(f"HTTP/1.1 {status}\r\n".encode())
            assert b"etag: x" in head.lower()
            assert b"chunked" not in head
            assert (length is None) or f"Content-Length: {length}".encode() in head


async def test_old_client_gets_no_chunks(start_gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """An HTTP/1.0 client gets a stream as plain bytes up to the connection's end."""
    gateway = await start_gateway(upstream.base_url)
    upstream.script = raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    )
    async with raw_client(gateway.port) as client:
        await client.send(b"GET /v1/models HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert b"chunked" not in await client.head()
        assert await client.rest() == b"abc"


async def test_expect_is_answered_before_the_body(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """A client that waits for 100 Continue gets it, and LM Studio isn't asked to wait."""
    gateway = await start_gateway(upstream.base_url, **KEY)
    async with raw_client(gateway.port) as client:
        await client.send(
            b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nX-API-Key: a key\r\n"
            b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        )
        assert b" 100 " in await client.head()
        await client.send(b"{}")
        assert b" 200 " in await client.head()
    assert upstream.last.one("Expect") is None


async def test_refused_client_is_not_asked_for_its_body(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Without the key, 401 comes instead of 100 Continue, at once, and the connection ends."""
    gateway = await start_gateway(upstream.base_url, **KEY)
    async with raw_client(gateway.port) as client:
        await client.send(
            b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
            b"Content-Length: 1073741824\r\n\r\n"
        )
        head = await client.head()
        assert b" 401 " in head
        assert b"Connection: close" in head
    assert not upstream.received


@pytest.mark.parametrize(
    "authorization",
    [
        [],
        [("Authorization", "Bearer dummy")],
        [("authorization", "Basic dTpw")],
        [("AUTHORIZATION", "Bearer x"), ("Authorization", "Bearer x")],
    ],
)
async def test_lm_studios_token_takes_the_place_of_any_authorization(
    start_gateway: StartGateway, upstream: ScriptedUpstream, authorization: list[tuple[str, str]]
) -> None:
    """Once the gateway has LM Studio's token, no client's dummy Bearer gets in its way."""
    gateway = await start_gateway(upstream.base_url, lmstudio={"api_token": "sk-lm-1:2"}, **KEY)
    headers = CIMultiDict([*AUTHORIZED.items(), *authorization])
    for method in ("GET", "POST"):
        url = gateway.url("/v1/chat/completions")
        async with gateway.client.request(method, url, headers=headers) as response:
            assert response.status == 200
        assert upstream.last.all("Authorization") == ["Bearer sk-lm-1:2"]


async def test_loop_ends_at_once(start_gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """A gateway whose base_url leads back to itself says so instead of asking itself for ever."""
    first = await start_gateway(upstream.base_url)
    via = ""
    async with first.client.get(first.url("/v1/models")):
        via = upstream.last.one("Via") or ""
    async with first.client.get(first.url("/v1/models"), headers={"Via": via}) as response:
        assert response.status == 508


@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
async def test_methods_for_forward_proxies_are_refused(
    start_gateway: StartGateway, upstream: ScriptedUpstream, method: str
) -> None:
    """Nothing is echoed or tunnelled."""
    gateway = await start_gateway(upstream.base_url)
    async with raw_client(gateway.port) as client:
        await client.send(f"{method} /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert b"HTTP/1.1 4" in await client.head()
    assert not upstream.received


@pytest.mark.parametrize("name", ["Authorization", "api-key", "Cookie", "X_API_KEY"])
@pytest.mark.parametrize(
    "value", ["s3cret", "Bearer s3cret", 'Bearer "s3cret"', "a=s3cret; b", "Bearer Bearer s3cret"]
)
async def test_key_reaches_lm_studio_in_no_header(
    start_gateway: StartGateway, upstream: ScriptedUpstream, name: str, value: str
) -> None:
    """Wherever else a client put the key, it isn't LM Studio's to see; what is no key passes."""
    gateway = await start_gateway(upstream.base_url, auth={"api_key": "s3cret"})
    headers = {"X-API-Key": "s3cret", name: value, "X-Other": "s3crets"}
    async with gateway.client.get(gateway.url("/v1/models"), headers=headers) as response:
        assert response.status == 200
    assert upstream.last.one(name) is None
    assert upstream.last.one("X-Other") == "s3crets"


async def test_cookies_are_not_kept(start_gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """A cookie that one client was given is never sent for another."""
    gateway = await start_gateway(f"http://localhost:{upstream.port}")
    upstream.script = answer(extra="Set-Cookie: session=mine; Path=/\r\n")
    for _ in range(2):
        async with gateway.client.get(gateway.url("/v1/models")) as response:
            assert response.headers["Set-Cookie"].startswith("session=mine")
    assert upstream.last.one("Cookie") is None


async def test_announced_size_is_refused_before_it_comes(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """10 GiB that are only announced get their 413 at once."""
    gateway = await start_gateway(upstream.base_url)
    async with raw_client(gateway.port) as client:
        await client.send(
            b"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10737418240\r\n\r\n"
        )
        assert b" 413 " in await client.head()
    assert not upstream.received


async def test_reason_that_cant_be_written_is_left_out(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Control characters in LM Studio's status line cost the client nothing."""
    gateway = await start_gateway(upstream.base_url)
    upstream.script = raw(b"HTTP/1.1 200 a\x1b[1m\r\nContent-Length: 2\r\n\r\nok")
    async with gateway.client.get(gateway.url("/v1/models")) as response:
        assert (response.status, await response.read()) == (200, b"ok")


async def test_old_client_that_would_keep_the_connection(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """HTTP/1.0 with keep-alive can't have it for a stream, whose only end is the connection's."""
    gateway = await start_gateway(upstream.base_url)
    upstream.script = raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n")
    async with raw_client(gateway.port) as client:
        await client.send(b"GET /v1/models HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n")
        await client.head()
        assert await client.rest() == b"ab"


async def test_plain_answer_is_a_client_librarys_answer(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """A broken Content-Length is noticed by ordinary clients."""
    gateway = await start_gateway(upstream.base_url)
    upstream.script = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
    async with gateway.client.get(gateway.url("/v1/models")) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
