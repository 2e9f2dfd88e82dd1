"""What a client sees when LM Studio fails, and what LM Studio sees when a client leaves."""

from __future__ import annotations

import asyncio
import io

import aiohttp
import pytest

from tests.conftest import StartGateway
from tests.support.ports import reserved_port
from tests.support.raw_client import raw_client
from tests.support.upstream import STREAM_HEAD, Received, ScriptedUpstream, answer, chunk, raw
from tests.support.waiting import STARTING_SECONDS

STREAM = b'{"model":"m","stream":true}'
CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (
    len(STREAM),
    STREAM,
)


async def never(_request: Received, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Answer nothing until the peer leaves."""
    assert await reader.read() == b""


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        ("/v1/chat/completions", {}, ["error", "type"]),
        ("/models", {}, ["error", "type"]),
        ("/v1/messages", {}, ["error", "type"]),
        ("/v1/models", {"anthropic-version": "2023-06-01"}, ["error", "type"]),
    ],
)
async def test_unreachable_is_503_in_the_clients_own_shape(
    start_gateway: StartGateway, path: str, headers: dict[str, str], expected: list[str]
) -> None:
    """With LM Studio down, a client is told what to check, in words its library parses, and no address."""
    gateway = await start_gateway("http://127.0.0.1:9")
    async with gateway.client.get(gateway.url(path), headers=headers) as response:
        assert response.status == 503
        body = await response.json()
    assert body["error"]["type"] == "overloaded_error"
    assert "LM Studio" in body["error"]["message"]
    assert "127.0.0.1" not in str(body)
    is_anthropic = "messages" in path or bool(headers)
    assert (body.get("type") == "error") == is_anthropic
    assert ("request_id" in body) == is_anthropic


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/models", b""), ("/v1/files", b"x" * 1000), ("/v1/embeddings", b"x" * 1_000_000)],
    ids=["no body", "upload", "large body"],
)
async def test_requests_work_as_soon_as_lm_studio_is_up(
    start_gateway: StartGateway, upstream: ScriptedUpstream, path: str, body: bytes
) -> None:
    """A refused connection is tried once more, so an LM Studio that is just starting costs no error."""
    with reserved_port() as (port, reserved):
        gateway = await start_gateway(f"http://127.0.0.1:{port}")

        async def start_late() -> asyncio.Server:
            await asyncio.sleep(0.05)  # within the pause before the second try, on the same clock
            return await asyncio.start_server(upstream.serve_connection, sock=reserved)

        starting = asyncio.create_task(start_late())
        async with gateway.client.post(gateway.url(path), data=io.BytesIO(body)) as response:
            assert response.status == 200
        (await starting).close()
    assert [request.body for request in upstream.received] == [body]


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"hello, I am no HTTP server\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: nonsense\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
    ],
    ids=["nothing", "no http", "bad length", "unasked upgrade", "endless head"],
)
async def test_broken_head_is_502_and_a_post_is_sent_once(
    start_gateway: StartGateway, upstream: ScriptedUpstream, sent: bytes
) -> None:
    """LM Studio may have begun, so nothing is sent twice; the client gets a clear error."""
    gateway = await start_gateway(upstream.base_url)
    upstream.script = raw(sent)
    async with gateway.client.post(gateway.url("/v1/chat/completions"), data=b"{}") as response:
        assert response.status == 502
        assert (await response.json())["error"]["code"] == "upstream_broke"
    assert len(upstream.received) == 1


@pytest.mark.parametrize(
    "sent",
    [
        STREAM_HEAD + chunk(b"data: 1\n\n"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ndata: 1\n\n",
    ],
    ids=["cut off", "short"],
)
async def test_broken_body_is_never_a_clean_end(
    start_gateway: StartGateway, upstream: ScriptedUpstream, sent: bytes
) -> None:
    """A client can always tell half an answer from a whole one, and keeps what had arrived."""
    gateway = await start_gateway(upstream.base_url)
    upstream.script = raw(sent)
    received = b""
    async with gateway.client.post(gateway.url("/v1/chat/completions"), data=STREAM) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            async for data in response.content.iter_any():
                received += data
    assert received == b"data: 1\n\n"


async def test_garbage_in_mid_stream_is_no_clean_end_and_no_hang(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """A stream whose framing breaks ends as an error at once, though LM Studio keeps the connection open."""
    gateway, has_it = await start_gateway(upstream.base_url), asyncio.Event()

    async def script(_request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(b"data: 1\n\n"))
        await asyncio.wait_for(has_it.wait(), 5)
        writer.write(b"zz\r\nrubbish\r\n")
        await reader.read()

    upstream.script = script
    async with gateway.client.post(gateway.url("/v1/chat/completions"), data=STREAM) as response:
        assert await response.content.readany() == b"data: 1\n\n"
        has_it.set()
        with pytest.raises(aiohttp.ClientPayloadError):
            await asyncio.wait_for(response.content.readany(), 5)


async def test_broken_body_is_no_clean_end_for_an_old_client(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """For HTTP/1.0 the connection's end is the answer's end, so a broken one is reset."""
    gateway = await start_gateway(upstream.base_url)
    upstream.script = raw(STREAM_HEAD + chunk(b"data: 1\n\n"))
    async with raw_client(gateway.port) as client:
        await client.send(b"GET /v1/models HTTP/1.0\r\nHost: localhost\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            await client.head()
            await client.rest()


@pytest.mark.parametrize(
    ("settings", "body"),
    [({"timeout_ms": 100}, b"{}"), ({"stream_timeout_ms": 100}, STREAM)],
    ids=["plain", "stream"],
)
async def test_silence_before_the_head_is_504(
    start_gateway: StartGateway, upstream: ScriptedUpstream, settings: dict[str, object], body: bytes
) -> None:
    """Each kind of request has its own patience, and LM Studio is told when it is over."""
    gateway = await start_gateway(upstream.base_url, proxy=settings)
    upstream.script = never
    async with gateway.client.post(gateway.url("/v1/chat/completions"), data=body) as response:
        assert response.status == 504
        # Or OpenAI's and Anthropic's libraries would have it generated three times.
        assert response.headers["x-should-retry"] == "false"
    await asyncio.wait_for(upstream.gone.get(), 5)


async def test_stream_has_the_streams_patience_whoever_asked(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """What LM Studio sends as an event stream may pause longer than a plain answer."""
    gateway = await start_gateway(upstream.base_url, proxy={"timeout_ms": 50, "stream_timeout_ms": 0})

    async def script(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(b"data: 1\n\n"))
        await asyncio.sleep(0.15)  # three times as long as a plain answer might
        writer.write(chunk(b"data: 2\n\n") + b"0\r\n\r\n")

    upstream.script = script
    async with gateway.client.get(gateway.url("/v1/whatever")) as response:
        assert await response.read() == b"data: 1\n\ndata: 2\n\n"


async def test_silence_in_a_plain_answer_breaks_it(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """A plain answer that stops halfway ends as an error after the configured silence."""
    gateway = await start_gateway(upstream.base_url, proxy={"timeout_ms": 100})
    upstream.script = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", then_close=False)
    async with gateway.client.get(gateway.url("/v1/models")) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await asyncio.wait_for(response.read(), 5)


async def test_each_event_is_delivered_when_it_happens(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """No token waits for the next one: LM Studio sends each only after the client has the last."""
    gateway, has_it = await start_gateway(upstream.base_url), asyncio.Semaphore(0)

    async def script(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        for number in range(20):
            await asyncio.wait_for(has_it.acquire(), 5)
            writer.write(chunk(b"data: %d\n\n" % number))
        writer.write(b"0\r\n\r\n")

    upstream.script = script
    async with gateway.client.post(gateway.url("/v1/chat/completions"), data=STREAM) as response:
        has_it.release()  # the head is here before the first event
        events = []
        async for data in response.content.iter_any():
            events.append(data)
            has_it.release()
    assert events == [b"data: %d\n\n" % number for number in range(20)]


async def in_mid_stream(
    _request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(STREAM_HEAD + chunk(b"data: 1\n\n"))
    await reader.read()


@pytest.mark.parametrize(
    ("script", "sees_head"), [(in_mid_stream, True), (never, False)], ids=["in mid-stream", "before the head"]
)
@pytest.mark.parametrize("body", [STREAM, b"{}"], ids=["stream", "plain"])
async def test_client_that_leaves_stops_lm_studio(
    start_gateway: StartGateway, upstream: ScriptedUpstream, script: object, sees_head: bool, body: bytes
) -> None:
    """The GPU isn't kept busy for somebody who hung up, whether anything was being sent or not."""
    gateway = await start_gateway(upstream.base_url)
    upstream.script = script  # type: ignore[assignment]
    async with raw_client(gateway.port) as client:
        await client.send(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s"
            % (len(body), body)
        )
        await asyncio.wait_for(upstream.arrivals.get(), 5)
        if sees_head:
            await client.head()
        client.hang_up()
        await asyncio.wait_for(upstream.gone.get(), 5)


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 1000\r\n\r\nhalf", b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"]
)
@pytest.mark.parametrize("path", [b"/v1/audio/transcriptions", b"/v1/chat/completions"])
async def test_client_that_leaves_in_mid_upload_completes_no_request(
    start_gateway: StartGateway, upstream: ScriptedUpstream, framing: bytes, path: bytes
) -> None:
    """LM Studio never takes half a body for a whole one."""
    gateway, outcome = await start_gateway(upstream.base_url), asyncio.Queue[bytes]()
    upstream.reads_body = False

    async def script(_request: Received, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"half")
        outcome.put_nowait(b"half")
        outcome.put_nowait(await reader.read())

    upstream.script = script
    async with raw_client(gateway.port) as client:
        await client.send(b"POST %s HTTP/1.1\r\nHost: localhost\r\n%s" % (path, framing))
        if b"audio" in path:
            assert await asyncio.wait_for(outcome.get(), 5) == b"half"
        client.hang_up()
        if b"audio" in path:
            assert await asyncio.wait_for(outcome.get(), 5) in {b"", b"\r\n"}
    async with gateway.client.get(gateway.url("/health")) as response:
        assert response.status == 200
    assert len(upstream.received) == (1 if b"audio" in path else 0)


async def test_slow_reader_slows_lm_studio(start_gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """A client that reads nothing holds a few buffers, not the answer; LM Studio has to wait."""
    gateway, written = await start_gateway(upstream.base_url), 0
    stuck = asyncio.Event()

    async def script(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(STREAM_HEAD)
        for _ in range(1024):
            writer.write(chunk(b"x" * 65536))
            try:
                await asyncio.wait_for(writer.drain(), 1)
            except TimeoutError:
                stuck.set()
                return
            written += 65536

    upstream.script = script
    async with raw_client(gateway.port) as client:
        await client.send(CHAT)
        await asyncio.wait_for(stuck.wait(), 30)
    assert written < 32 * 1024**2


async def test_connection_that_lm_studio_closed_is_not_used(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """LM Studio may close a connection after any answer: no request fails for it, and none is sent twice."""
    gateway = await start_gateway(upstream.base_url)

    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer()(request, reader, writer)
        writer.close()

    upstream.script = script
    for number in range(100):
        async with gateway.client.post(gateway.url("/v1/chat/completions"), data=b"%d" % number) as response:
            assert response.status == 200
    assert [request.body for request in upstream.received] == [b"%d" % number for number in range(100)]


async def test_bytes_nobody_asked_for_answer_nobody(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """What comes in on an idle connection never answers the next request."""
    gateway, has_it, poisoned = await start_gateway(upstream.base_url), asyncio.Event(), asyncio.Event()

    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer(b'"right"')(request, reader, writer)
        await has_it.wait()
        await answer(b'"wrong"')(request, reader, writer)
        poisoned.set()

    upstream.script = script
    for _ in range(3):
        async with gateway.client.get(gateway.url("/v1/models")) as response:
            assert await response.read() == b'"right"'
        has_it.set()
        await asyncio.wait_for(poisoned.wait(), 5)


async def test_upload_that_nobody_reads_ends(start_gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """An LM Studio that stops reading a body is silent, and gets no more time than for an answer."""
    gateway = await start_gateway(upstream.base_url, proxy={"timeout_ms": 200})
    upstream.reads_body = False

    async def script(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    upstream.script = script
    for path in ("/v1/files", "/v1/chat/completions"):
        data = io.BytesIO(b"x" * 20_000_000)
        async with gateway.client.post(gateway.url(path), data=data) as response:
            assert response.status == 504


async def test_early_refusal_reaches_the_client(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """If LM Studio refuses an upload while it is still coming, the client gets that answer."""
    gateway = await start_gateway(upstream.base_url)
    upstream.reads_body = False
    upstream.script = answer(b"{}", status="413 Too Large", extra="Connection: close\r\n")
    async with raw_client(gateway.port) as client:
        await client.send(b"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n\r\nx")
        assert b" 413 " in await client.head()


async def test_many_clients_get_their_own_bytes(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Parallel streams and plain answers never mix, and none waits for another."""
    gateway, everybody = await start_gateway(upstream.base_url), asyncio.Barrier(150)

    async def script(request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(request.body))
        await everybody.wait()
        writer.write(chunk(request.body) + b"0\r\n\r\n")

    upstream.script = script

    async def ask(number: int) -> bytes:
        body = b'{"n":%d}' % number
        async with gateway.client.post(gateway.url("/v1/chat/completions"), data=body) as response:
            return await response.read()

    gateway.client.connector._limit = 0  # type: ignore[union-attr]
    answers = await asyncio.wait_for(asyncio.gather(*map(ask, range(150))), STARTING_SECONDS)
    assert answers == [b'{"n":%d}' % number * 2 for number in range(150)]
