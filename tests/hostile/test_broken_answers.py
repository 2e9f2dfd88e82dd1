"""Promises about answers that break off, stall or drip. RFC 9112 section 8, RFC 9110 section 8.6."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

from tests.conftest import StartGateway
from tests.hostile.conftest import FIELDS, KEY, Connect
from tests.hostile.wire import CHAT, GET, PLAIN_BODY, STREAM_BODY, ask, post, request
from tests.support.clock import Clock
from tests.support.raw_client import BROKEN, raw_client
from tests.support.upstream import STREAM_HEAD, Received, ScriptedUpstream, answer, chunk, raw, reset

Ending = Callable[[asyncio.StreamWriter], None]

EVENT = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
HALF = b'{"half":"' + b"x" * 4991
LONG = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: 10000\r\n\r\n" + HALF
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(
    HALF
)
# A stream, a plain response whose usage is read, and one that is relayed without being read.
REQUESTS = (
    post(CHAT, STREAM_BODY),
    post(CHAT, PLAIN_BODY),
    GET,
)


def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()


def size_cut_off(writer: asyncio.StreamWriter) -> None:
    writer.write(b"5")
    writer.close()


def end_cut_off(writer: asyncio.StreamWriter) -> None:
    writer.write(b"0\r\n")
    writer.close()


async def assert_noticed(connect: Connect, upstream: ScriptedUpstream, half: bytes, end: Ending) -> None:
    """Send the head and half of the body, call `end`, and assert that the client sees a broken response."""
    for sent in REQUESTS:
        has_begun = asyncio.Event()

        async def script(
            _request: Received,
            reader: asyncio.StreamReader,
            writer: asyncio.StreamWriter,
            has_begun: asyncio.Event = has_begun,
        ) -> None:
            writer.write(half)
            await has_begun.wait()
            end(writer)
            await reader.read()

        upstream.script = script
        async with connect() as client:
            await client.send(sent)
            head = await client.answer_head()
            has_begun.set()
            assert head.status == 200
            with pytest.raises(BROKEN):
                async with asyncio.timeout(5):
                    async for _ in client.pieces(head):
                        pass
    assert len(upstream.received) == len(REQUESTS)


@pytest.mark.parametrize("end", [closed, reset, size_cut_off, end_cut_off])
async def test_an_event_stream_that_breaks_off_is_no_clean_end(
    connect: Connect, upstream: ScriptedUpstream, end: Ending
) -> None:
    await assert_noticed(connect, upstream, STREAM_HEAD + chunk(EVENT), end)


@pytest.mark.parametrize("end", [closed, reset])
async def test_5000_of_10000_announced_bytes_are_no_complete_answer(
    connect: Connect, upstream: ScriptedUpstream, end: Ending
) -> None:
    for content_type in (b"application/json", b"text/event-stream", b"audio/wav"):
        upstream.received.clear()
        await assert_noticed(connect, upstream, LONG % content_type, end)


@pytest.mark.parametrize("end", [closed, reset, end_cut_off])
async def test_half_a_chunked_answer_is_no_complete_one(
    connect: Connect, upstream: ScriptedUpstream, end: Ending
) -> None:
    await assert_noticed(connect, upstream, CHUNKED, end)


@pytest.mark.parametrize("garbage", [b"no size", b"-1", b"2"])
@pytest.mark.parametrize("half", [STREAM_HEAD + chunk(EVENT), CHUNKED], ids=["events", "JSON"])
async def test_garbage_for_a_chunk_size_is_no_clean_end_and_no_hang(
    connect: Connect, upstream: ScriptedUpstream, half: bytes, garbage: bytes
) -> None:
    end = partial(asyncio.StreamWriter.write, data=garbage + b"\r\nrubbish\r\n0\r\n\r\n")
    await assert_noticed(connect, upstream, half, end)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(b"\r\n0\r\n", b"no trailer\r\n\r\n", id="in the trailer"),
        pytest.param(b"", b"\r\nzz\r\nrubbish\r\n", id="after the end of a chunk"),
        pytest.param(b"\r", b"\n0\r\n\rx", id="in the last line"),
    ],
)
async def test_chunks_that_break_between_two_reads_are_no_clean_end_and_no_hang(
    connect: Connect, upstream: ScriptedUpstream, first: bytes, second: bytes
) -> None:
    half = STREAM_HEAD + chunk(EVENT).removesuffix(b"\r\n") + first
    await assert_noticed(connect, upstream, half, lambda writer: writer.write(second))


async def test_a_reset_is_no_end_of_a_response_without_a_length(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + HALF
    await assert_noticed(connect, upstream, half, reset)


@pytest.mark.parametrize(
    "half", [STREAM_HEAD + chunk(EVENT), CHUNKED, LONG % b"a/b"], ids=["events", "JSON", "length"]
)
async def test_an_http_1_0_client_sees_a_reset(
    connect: Connect, upstream: ScriptedUpstream, half: bytes
) -> None:
    upstream.script = raw(half)
    async with connect() as client:
        await client.send(b"GET /v1/models HTTP/1.0\r\n%s\r\n" % FIELDS)
        with pytest.raises(BROKEN):
            async for _ in client.pieces(await client.answer_head()):
                pass


@pytest.mark.parametrize(
    "head",
    [
        STREAM_HEAD,
        LONG.partition(b"{")[0] % b"application/json",
        b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n\r\n",
    ],
    ids=["events", "length", "close"],
)
async def test_a_head_before_a_stall_is_relayed_at_once_and_the_stall_blocks_no_other_request(
    connect: Connect, upstream: ScriptedUpstream, head: bytes
) -> None:
    aborted = asyncio.Event()

    async def stalls(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The head of a generation's stream is relayed with the first event.
        is_generation = request.method == "POST" and head == STREAM_HEAD
        writer.write(head + chunk(EVENT) if is_generation else head)
        assert await reader.read() == b""
        aborted.set()

    for sent in REQUESTS:
        upstream.script = stalls
        async with connect() as client:
            await client.send(sent)
            assert (await client.answer_head()).status == 200
            upstream.script = answer()
            for path in (b"/v1/models", b"/health"):
                assert (await ask(connect, request(b"GET " + path))).status == 200
            assert not aborted.is_set()
            client.hang_up()
            await asyncio.wait_for(aborted.wait(), 5)
            aborted.clear()


@pytest.mark.parametrize(
    ("dripping", "body"),
    [
        (STREAM_HEAD + chunk(EVENT) + chunk(b""), EVENT),
        (
            b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"x":"abcd"}',
            b'{"x":"abcd"}',
        ),
    ],
    ids=["events", "plain"],
)
async def test_a_response_that_drips_byte_by_byte_arrives_whole(
    start_gateway: StartGateway,
    upstream: ScriptedUpstream,
    monkeypatch: pytest.MonkeyPatch,
    dripping: bytes,
    body: bytes,
) -> None:
    # In all three times the time-out, in short pauses.
    gateway = await start_gateway(upstream.base_url, auth={"api_key": KEY}, proxy={"timeout_ms": 1000})
    clock = Clock(monkeypatch)

    async def script(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in dripping:
            writer.write(bytes([byte]))
            await clock.pass_seconds(3 / len(dripping))

    upstream.script = script
    async with raw_client(gateway.port) as client:
        assert (await client.ask(post(CHAT, PLAIN_BODY))).body == body


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@pytest.mark.parametrize("content_type", [b"application/json", b"text/event-stream"])
async def test_a_response_that_ends_by_close_arrives_whole(
    connect: Connect, upstream: ScriptedUpstream, content_type: bytes, version: bytes
) -> None:
    upstream.script = raw(
        b"HTTP/%s 200 OK\r\nContent-Type: %s\r\n\r\n" % (version, content_type), EVENT, EVENT * 999
    )
    answered = await ask(connect, post(CHAT, PLAIN_BODY))
    assert (answered.status, answered.body) == (200, EVENT * 1000)


async def test_an_answer_of_http_1_0_is_taken(connect: Connect, upstream: ScriptedUpstream) -> None:
    upstream.script = raw(
        b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\nbody"
    )
    for _ in range(3):
        answered = await ask(connect, post(CHAT, PLAIN_BODY))
        assert (answered.status, answered.body) == (200, b"body")


@pytest.mark.parametrize("content_type", ["text/html; charset=latin-1", "application/json", ""])
@pytest.mark.parametrize("status", ["200 OK", "500 Oops"])
async def test_a_body_that_is_no_json_passes_unchanged(
    connect: Connect, upstream: ScriptedUpstream, status: str, content_type: str
) -> None:
    page = b'<html>\r\n<p>\xe9\xff\x00{"usage":{]' + b"&amp;" * 100
    upstream.script = answer(page, status=status, content_type=content_type)
    async with connect() as client:
        for sent in REQUESTS:
            answered = await client.ask(sent)
            assert (f"{answered.status}", answered.body) == (status[:3], page)
            assert answered.one("Content-Type") == content_type
