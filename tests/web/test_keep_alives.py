"""What a stream's client gets while it waits, and that LM Studio's bytes follow untouched."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from lmgateway.observe.record import RequestRecord
from lmgateway.web.state import ACTIVITY, CONTEXT
from tests.conftest import StartGateway
from tests.support.held_streams import (
    CHAT,
    COMPLETIONS,
    FOR_CODEX,
    KEEP_ALIVES,
    KEEPALIVE_MS,
    MESSAGES,
    RESPONSES,
    V0_CHAT,
    V0_COMPLETIONS,
    held,
    stream_request,
    waiting,
)
from tests.support.key_limits import HELLO
from tests.support.keys import OWNER, bearer, make_key
from tests.support.raw_client import raw_client
from tests.support.requests import json_post
from tests.support.upstream import STREAM_HEAD, Received, Script, ScriptedUpstream, answer, chunk
from tests.support.waiting import PATIENCE_SECONDS, until

OFTEN = {"keepalive_ms": KEEPALIVE_MS}
EVENTS = b'event: a\ndata: {"id": 1.50, "choices": []}\n\n: LM Studio\'s own\n\ndata: {"b":"\xc3\xa4"}\n\n'
OPENAI_END = b"data: [DONE]\n\n"


def stream(*pieces: bytes, between: asyncio.Event | None = None) -> Script:
    """Stream these pieces; those after the first one when the event is set."""

    async def script(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(pieces[0]))
        if between is not None:
            await between.wait()
        writer.write(b"".join(map(chunk, pieces[1:])) + b"0\r\n\r\n")

    return script


@pytest.mark.parametrize("path", KEEP_ALIVES)
async def test_each_api_has_its_own(
    start_gateway: StartGateway, upstream: ScriptedUpstream, path: str
) -> None:
    """200, as often as configured what the API's clients skip, then LM Studio's answer byte for byte."""
    gate, body = asyncio.Event(), EVENTS + OPENAI_END
    upstream.script = held(gate, stream(EVENTS, OPENAI_END))
    gateway = await start_gateway(upstream.base_url, queue=OFTEN)
    async with raw_client(gateway.port) as client:
        # Usage is asked for, so that the gateway removes none.
        asked = stream_request(path, b"X-Request-Id: mine", stream_options={"include_usage": True})
        held_stream = await waiting(client, asked, KEEP_ALIVES[path])
        head = held_stream.head
        assert (head.status, head.one("Content-Type")) == (200, "text/event-stream")
        assert (head.one("Cache-Control"), head.one("X-Accel-Buffering")) == ("no-cache", "no")
        assert (head.one("X-Request-Id"), head.one("Content-Length")) == ("mine", None)
        await held_stream.keep_alives(2)
        gate.set()
        assert await held_stream.rest() == body
        # The connection serves the next request.
        assert (await client.ask(stream_request(path, stream_options={"include_usage": True}))).body == body


async def test_codex_gets_events(start_gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """It counts no comments, and is known by either header; OpenAI's libraries fail on that event."""
    gate = asyncio.Event()
    upstream.script = held(gate, stream(EVENTS))
    gateway = await start_gateway(upstream.base_url, queue=OFTEN)
    for line in (b"User-Agent: codex_exec/0.171.0 (Linux)", b"Originator: codex_cli_rs"):
        async with raw_client(gateway.port) as client:
            await (await waiting(client, stream_request(RESPONSES, line), FOR_CODEX)).keep_alives(1)


@pytest.mark.parametrize(
    ("path", "kind", "delta"),
    [
        (CHAT, "chat.completion.chunk", {"delta": {}}),
        (V0_CHAT, "chat.completion.chunk", {"delta": {}}),
        (COMPLETIONS, "text_completion", {"text": ""}),
        (V0_COMPLETIONS, "text_completion", {"text": ""}),
    ],
)
async def test_empty_chunks(
    start_gateway: StartGateway, upstream: ScriptedUpstream, path: str, kind: str, delta: dict[str, object]
) -> None:
    """For clients that stumble over comments: a chunk of the API without any content."""
    upstream.script = held(asyncio.Event(), stream(EVENTS))
    gateway = await start_gateway(upstream.base_url, queue={**OFTEN, "keepalive_chat": "chunk"})
    async with raw_client(gateway.port) as client:
        await client.send(stream_request(path))
        pieces = client.pieces(await client.answer_head())
        first, second = await anext(pieces), await anext(pieces)
    assert first == second
    name, _, data = first.removesuffix(b"\n\n").partition(b": ")
    content = json.loads(data)
    assert (name, content["object"]) == (b"data", kind)
    assert content["choices"] == [{"index": 0, "finish_reason": None, **delta}]


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
async def test_none_after_lm_studios_first_byte(
    start_gateway: StartGateway, upstream: ScriptedUpstream, path: str
) -> None:
    """However long LM Studio then pauses, also in the middle of an event."""
    goes_on = asyncio.Event()
    cut = EVENTS.index(b"b") + 1
    upstream.script = stream(EVENTS[:cut], EVENTS[cut:], between=goes_on)
    gateway = await start_gateway(upstream.base_url, queue=OFTEN)
    async with raw_client(gateway.port) as client, raw_client(gateway.port) as other:
        await client.send(stream_request(path, stream_options={"include_usage": True}))
        pieces = client.pieces(await client.answer_head())
        first = await anext(pieces)
        assert EVENTS.startswith(first)
        upstream.script = held(asyncio.Event(), stream(EVENTS))
        # So long that the first stream would have had some too.
        await (await waiting(other, stream_request(CHAT))).keep_alives(3)
        goes_on.set()
        assert first + b"".join([piece async for piece in pieces]) == EVENTS


async def test_a_stream_that_begins_in_time_is_lm_studios_own(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """With LM Studio's head."""
    upstream.script = answer(EVENTS, content_type="text/event-stream", extra="X-Studio: yes\r\n")
    gateway = await start_gateway(upstream.base_url)
    async with raw_client(gateway.port) as client:
        answered = await client.ask(stream_request(MESSAGES))
    assert (answered.one("X-Studio"), answered.one("Cache-Control"), answered.body) == ("yes", None, EVENTS)


@pytest.mark.parametrize(
    ("queue", "asked"),
    [
        (OFTEN, stream_request(CHAT, stream=False)),
        (OFTEN, json_post(b"/v1/embeddings", b'{"model": "m", "input": "x", "stream": true}')),
        (OFTEN, json_post(b"/v1/other", b'{"model": "m", "stream": true}')),
        ({"keepalive_ms": 0}, stream_request(CHAT)),
    ],
    ids=["plain", "embeddings", "unknown path", "turned off"],
)
async def test_others_wait_in_silence(
    start_gateway: StartGateway, upstream: ScriptedUpstream, queue: dict[str, int], asked: bytes
) -> None:
    """They get LM Studio's own status and body, however late, and nothing before."""
    gate, refusal = asyncio.Event(), b'{"error": "No"}'
    upstream.script = held(gate, answer(refusal, status="400 Bad Request"))
    gateway = await start_gateway(upstream.base_url, queue=queue)
    timing = await start_gateway(upstream.base_url, queue=OFTEN)
    async with raw_client(gateway.port) as client, raw_client(timing.port) as other:
        await client.send(asked)
        await asyncio.wait_for(upstream.arrivals.get(), PATIENCE_SECONDS)
        await (await waiting(other, stream_request(CHAT))).keep_alives(2)
        gate.set()
        answered = await client.answer()
    assert (answered.status, answered.body) == (400, refusal)


async def test_the_time_counts_from_arrival(start_gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """A client whose upload is slow isn't left in silence for the same time again."""
    upstream.script = held(asyncio.Event(), stream(EVENTS))
    gateway = await start_gateway(upstream.base_url, queue={"keepalive_ms": 400})
    async with raw_client(gateway.port) as slow, raw_client(gateway.port) as quick:
        request = stream_request(CHAT)
        await slow.send(request[:-10])
        await until(lambda: len(gateway.app[ACTIVITY].running) == 1)
        other = await waiting(quick, stream_request(CHAT))
        await slow.send(request[-10:])
        first = asyncio.create_task(slow.head())
        second = asyncio.create_task(other.keep_alives(1))
        done, _ = await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)
        assert first in done
        await second


async def test_head_has_the_gateways_fields(start_gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """Programs read their key's limits, and pages may read the stream, as from any response."""
    upstream.script = held(asyncio.Event(), stream(EVENTS))
    tables = {"auth": {"api_key": OWNER}, "cors": {"origins": ["http://page.example"]}}
    gateway = await start_gateway(upstream.base_url, queue=OFTEN, **tables)
    key = await make_key(gateway, limits={"requestsPerMinute": 9})
    fields = b"Authorization: Bearer " + key.encode(), b"Origin: http://page.example"
    async with raw_client(gateway.port) as client:
        head = (await waiting(client, stream_request(CHAT, *fields))).head
    assert head.one("x-ratelimit-limit-requests") == "9"
    assert head.one("Access-Control-Allow-Origin") == "http://page.example"


async def test_http_1_0(start_gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """It knows no chunks: the connection's end is the body's."""
    gate, comment = asyncio.Event(), KEEP_ALIVES[CHAT]
    upstream.script = held(gate, stream(EVENTS))
    gateway = await start_gateway(upstream.base_url, queue=OFTEN)
    async with raw_client(gateway.port) as client:
        asked = stream_request(CHAT, stream_options={"include_usage": True})
        await client.send(asked.replace(b"HTTP/1.1", b"HTTP/1.0"))
        head = await client.answer_head()
        assert (head.one("Transfer-Encoding"), head.one("Connection")) == (None, "close")
        assert await client.reader.readexactly(2 * len(comment)) == comment * 2
        gate.set()
        body = await client.rest()
    assert body.replace(comment, b"") == EVENTS


async def test_a_client_that_leaves(
    start_gateway: StartGateway, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """LM Studio stops, the record says so, and no keep-alive is sent to nobody."""
    upstream.script = lambda _request, reader, _writer: reader.read()  # type: ignore[assignment,return-value]
    gateway, records = await start_gateway(upstream.base_url, queue=OFTEN), list[RequestRecord]()
    gateway.app[ACTIVITY].add_consumer(records.append)
    async with raw_client(gateway.port) as client:
        await (await waiting(client, stream_request(CHAT))).keep_alives(1)
        client.hang_up()
        await asyncio.wait_for(upstream.gone.get(), PATIENCE_SECONDS)
    await until(lambda: not gateway.app[ACTIVITY].running)
    async with raw_client(gateway.port) as other:
        await (await waiting(other, stream_request(CHAT))).keep_alives(2)
    gateway.app[ACTIVITY].flush()
    assert (records[0].outcome, records[0].status, records[0].stream) == ("aborted", 499, True)
    assert [each.getMessage() for each in caplog.records if each.levelno > logging.INFO] == []


async def test_a_client_that_doesnt_read(start_gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """Nothing more is queued for it while the buffer holds what was sent before."""
    gate, plain = asyncio.Event(), b"x" * 30_000
    upstream.script = answer(plain)
    gateway = await start_gateway(upstream.base_url, queue=OFTEN)
    async with raw_client(gateway.port) as client, raw_client(gateway.port) as other:
        await until(lambda: len(gateway.limits.connections) == 2)
        by_port = {each.peername[1]: each for each in gateway.limits.connections if each.peername}
        connection = by_port[client.writer.get_extra_info("sockname")[1]]
        asked = 0
        while not connection.unsent_bytes()[0]:  # the kernel's buffers take megabytes
            await client.send(json_post(b"/v1/other", b"{}"))
            await asyncio.wait_for(upstream.arrivals.get(), PATIENCE_SECONDS)
            asked += 1
            await until(lambda: connection.is_waiting)
        upstream.script = held(gate, stream(EVENTS))
        await client.send(stream_request(CHAT, stream_options={"include_usage": True}))
        await asyncio.wait_for(upstream.arrivals.get(), PATIENCE_SECONDS)
        before, _ = connection.unsent_bytes()
        await (await waiting(other, stream_request(CHAT))).keep_alives(4)
        assert connection.unsent_bytes()[0] == before > 0
        for _ in range(asked):
            assert (await client.answer()).body == plain
        gate.set()
        answered = await client.answer()
    assert answered.body.endswith(EVENTS)


async def test_answers_say_how_long_they_waited(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """In X-Queue-Wait-Ms, an error of LM Studio's too; one that ran at once has none."""
    gate = asyncio.Event()
    upstream.script = held(gate, answer(b'{"error": "No"}', status="400 Bad Request"))
    gateway = await start_gateway(upstream.base_url, auth={"api_key": OWNER})
    key = await make_key(gateway, limits={"running": 1})

    async def ask() -> tuple[int, str | None]:
        url = gateway.url(CHAT)
        async with gateway.client.post(url, json=HELLO, headers=bearer(key)) as response:
            return response.status, response.headers.get("X-Queue-Wait-Ms")

    first = asyncio.create_task(ask())
    await asyncio.wait_for(upstream.arrivals.get(), PATIENCE_SECONDS)
    second = asyncio.create_task(ask())
    await until(lambda: len(gateway.app[ACTIVITY].running) == 2)
    await asyncio.sleep(0.002)  # a wait of less than a millisecond isn't shown
    gate.set()
    assert await first == (400, None)
    status, waited = await second
    assert status == 400
    assert waited is not None
    assert 1 <= int(waited) < PATIENCE_SECONDS * 1000


async def test_a_client_that_leaves_as_a_keep_alive_is_due_is_no_fault(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Its connection is being closed, though the request doesn't know that yet."""
    upstream.script = held(asyncio.Event(), stream(EVENTS))
    gateway = await start_gateway(upstream.base_url, queue=OFTEN)
    async with raw_client(gateway.port) as client:
        await waiting(client, stream_request(CHAT), KEEP_ALIVES[CHAT])
        (connection,) = gateway.limits.connections
        request = connection.running_request
        assert request is not None
        connection.wire.abort()
        request[CONTEXT].downstream.send_keep_alive()
