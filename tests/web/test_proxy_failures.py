"""Failures of LM Studio: what tests/hostile doesn't test of retries, time-outs and the errors' format."""

from __future__ import annotations

import asyncio
import io
from itertools import cycle

import aiohttp
import pytest

from lmgateway.boxes.http.client import Outgoing
from lmgateway.boxes.http.response import UpstreamResponse
from lmgateway.web.state import FLEET
from tests.conftest import StartGateway
from tests.support.clock import Clock
from tests.support.ports import reserved_port
from tests.support.upstream import STREAM_HEAD, Received, ScriptedUpstream, answer, chunk, raw, silent

STREAM = b'{"model":"m","stream":true}'
PROCESSING = b"HTTP/1.1 102 Processing\r\n\r\n"


async def test_unreachable_is_503_in_the_clients_own_shape(start_gateway: StartGateway) -> None:
    """With LM Studio down, the error says what to check, in the format of the client's API; no address."""
    gateway = await start_gateway("http://127.0.0.1:9")
    for path, headers, is_anthropic in (
        ("/v1/chat/completions", {}, False),
        ("/models", {}, False),
        ("/v1/messages", {}, True),
        ("/v1/models", {"anthropic-version": "2023-06-01"}, True),
    ):
        async with gateway.client.get(gateway.url(path), headers=headers) as response:
            assert response.status == 503
            body = await response.json()
        assert body["error"]["type"] == "overloaded_error"
        assert "LM Studio" in body["error"]["message"]
        assert "127.0.0.1" not in str(body)
        assert (body.get("type") == "error", "request_id" in body) == (is_anthropic, is_anthropic)


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/models", b""), ("/v1/files", b"x" * 1000), ("/v1/embeddings", b"x" * 1_000_000)],
    ids=["no body", "upload", "large body"],
)
async def test_requests_work_as_soon_as_lm_studio_is_up(
    start_gateway: StartGateway, upstream: ScriptedUpstream, path: str, body: bytes
) -> None:
    """A refused connection is retried once, so an LM Studio that starts meanwhile causes no error."""
    with reserved_port() as (port, reserved):
        gateway = await start_gateway(f"http://127.0.0.1:{port}")
        http, servers = gateway.app[FLEET].boxes.main.http, list[asyncio.Server]()
        send = http.send

        async def send_and_start(outgoing: Outgoing, *, silence: float | None) -> UpstreamResponse:
            try:
                return await send(outgoing, silence=silence)
            finally:
                if not servers:  # after the first attempt, before the pause
                    servers.append(await asyncio.start_server(upstream.serve_connection, sock=reserved))

        http.send = send_and_start  # type: ignore[method-assign]
        async with gateway.client.post(gateway.url(path), data=io.BytesIO(body)) as response:
            assert response.status == 200
        servers[0].close()
    assert [request.body for request in upstream.received] == [body]


@pytest.mark.parametrize(
    ("settings", "body"),
    [({"timeout_ms": 100}, b"{}"), ({"stream_timeout_ms": 100}, STREAM)],
    ids=["plain", "stream"],
)
async def test_silence_before_the_head_is_504(
    start_gateway: StartGateway, upstream: ScriptedUpstream, settings: dict[str, object], body: bytes
) -> None:
    """Each kind of request has its own time-out, after which its upstream connection is closed."""
    gateway = await start_gateway(upstream.base_url, proxy=settings)
    upstream.script = silent
    async with gateway.client.post(gateway.url("/v1/chat/completions"), data=body) as response:
        assert response.status == 504
        # Without it OpenAI's and Anthropic's libraries would retry twice.
        assert response.headers["x-should-retry"] == "false"
    await asyncio.wait_for(upstream.gone.get(), 5)


@pytest.mark.parametrize(
    ("start", "row"),
    [
        (PROCESSING, []),
        (PROCESSING + b"HTTP/1.1 1", []),
        (PROCESSING, [PROCESSING]),
        (PROCESSING, [PROCESSING, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"]),
        (b"HTTP/1.1 1", [b"02 Processing\r\n\r\nHTTP/1.1 1"]),
    ],
    ids=["one", "one and a half", "an endless row", "of two kinds", "pieces that end in a head"],
)
@pytest.mark.parametrize("body", [b"{}", b"x" * 100_000], ids=["small body", "large body"])
async def test_interim_responses_do_not_extend_the_time_out(
    start_gateway: StartGateway, upstream: ScriptedUpstream, start: bytes, row: list[bytes], body: bytes
) -> None:
    """proxy.timeout_ms counts from the request, whatever precedes the final response."""
    gateway = await start_gateway(upstream.base_url, proxy={"timeout_ms": 300})

    async def script(_request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        for piece in cycle(row):
            writer.write(piece)
            await writer.drain()  # raises when the gateway has closed the connection
            await asyncio.sleep(0.02)
        await reader.read()

    upstream.script = script
    async with gateway.client.post(gateway.url("/v1/chat/completions"), data=body) as response:
        assert response.status == 504
    await asyncio.wait_for(upstream.gone.get(), 5)


async def test_the_time_out_between_two_pieces_begins_after_interim_responses(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """A body that stalls behind them breaks."""
    gateway = await start_gateway(upstream.base_url, proxy={"timeout_ms": 100})
    upstream.script = raw(
        PROCESSING * 3 + b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", then_close=False
    )
    async with gateway.client.get(gateway.url("/v1/models")) as response:
        assert response.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await asyncio.wait_for(response.read(), 5)


@pytest.mark.parametrize("body", [STREAM, STREAM + b" " * 100_000], ids=["small body", "large body"])
async def test_an_endless_row_of_interim_responses_ends_without_a_time_out(
    start_gateway: StartGateway, upstream: ScriptedUpstream, body: bytes
) -> None:
    """By their number, where no time-out is configured."""
    gateway = await start_gateway(upstream.base_url)

    async def script(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(PROCESSING * 100)
            await writer.drain()

    upstream.script = script
    async with gateway.client.post(gateway.url("/v1/chat/completions"), data=body) as response:
        assert response.status == 502
    await asyncio.wait_for(upstream.gone.get(), 5)


async def test_an_event_stream_has_the_streams_time_out_even_if_the_client_asked_for_none(
    start_gateway: StartGateway, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The response's type decides which time-out applies between two events."""
    gateway = await start_gateway(upstream.base_url, proxy={"timeout_ms": 1000, "stream_timeout_ms": 0})
    clock, has_first = Clock(monkeypatch), asyncio.Event()

    async def script(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(b"data: 1\n\n"))
        await has_first.wait()
        await clock.pass_seconds(3)
        writer.write(chunk(b"data: 2\n\n") + b"0\r\n\r\n")

    upstream.script = script
    async with gateway.client.get(gateway.url("/v1/whatever")) as response:
        assert await response.content.readany() == b"data: 1\n\n"
        has_first.set()
        assert await response.read() == b"data: 2\n\n"


async def test_silence_in_a_plain_answer_breaks_it(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """A plain response that stalls ends as an error after proxy.timeout_ms."""
    gateway = await start_gateway(upstream.base_url, proxy={"timeout_ms": 100})
    upstream.script = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", then_close=False)
    async with gateway.client.get(gateway.url("/v1/models")) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await asyncio.wait_for(response.read(), 5)


async def test_unrequested_bytes_on_a_pooled_connection_answer_no_request(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """A connection that received bytes while idle is not reused."""
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


async def test_upload_that_isnt_read_is_504(start_gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """An LM Studio that stops reading a body is silent: the same time-out applies."""
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
