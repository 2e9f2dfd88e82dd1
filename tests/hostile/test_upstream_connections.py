"""Promises about pooled connections to LM Studio. RFC 9112 section 9, RFC 9110 section 9.2.2."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

from lmgateway.aiohttp_private.upstream_protocol import UpstreamProtocol
from lmgateway.boxes.http.client import Outgoing
from lmgateway.boxes.http.response import UpstreamResponse
from lmgateway.web.state import FLEET
from tests.conftest import StartGateway
from tests.hostile.conftest import KEY, Connect
from tests.hostile.wire import CHAT, GET, PLAIN_BODY, STREAM_BODY, ask, post, request, with_body
from tests.support.gateway import Gateway
from tests.support.raw_client import raw_client
from tests.support.upstream import STREAM_HEAD, Received, Script, ScriptedUpstream, answer, chunk, raw, reset

End = Callable[[asyncio.StreamWriter], None]

PATHS = [CHAT, b"/v1/files"]


def fin(writer: asyncio.StreamWriter) -> None:
    writer.close()


def remembering(script: Script, *, at_once: int = 1) -> tuple[Script, list[asyncio.StreamWriter]]:
    """Collect the requests' connections; answer none before `at_once` of them are there."""
    all_there, writers = asyncio.Barrier(at_once), list[asyncio.StreamWriter]()

    async def remember(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await all_there.wait()
        await script(request, reader, writer)

    return remember, writers


def end_before_sending(gateway: Gateway, writers: list[asyncio.StreamWriter], end: End) -> None:
    """End these connections just before a request is sent: the kernel knows it, the event loop doesn't."""
    http = gateway.app[FLEET].boxes.main.http
    send = http.send

    async def end_and_send(outgoing: Outgoing, *, silence: float | None) -> UpstreamResponse:
        while writers:
            end(writers.pop())
        await asyncio.sleep(0)  # asyncio closes the socket in its next turn
        return await send(outgoing, silence=silence)

    http.send = end_and_send  # type: ignore[method-assign]


def dies_on_reuse(upstream: ScriptedUpstream, end: End) -> None:
    """Answer the first request of each connection, and end the connection on the second."""
    seen: set[asyncio.StreamWriter] = set()

    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if writer in seen:
            end(writer)
        else:
            seen.add(writer)
            await answer()(request, reader, writer)

    upstream.script = script


@pytest.mark.parametrize("end", [fin, reset])
@pytest.mark.parametrize("path", PATHS)
async def test_a_post_on_a_pooled_connection_that_dies_is_not_retried(
    connect: Connect, upstream: ScriptedUpstream, path: bytes, end: End
) -> None:
    dies_on_reuse(upstream, end)
    assert (await ask(connect, post(path, b"first"))).status == 200
    assert (await ask(connect, post(path, b"second"))).status == 502
    assert [received.body for received in upstream.received] == [b"first", b"second"]
    assert upstream.connections == 1


@pytest.mark.parametrize("end", [fin, reset])
async def test_a_get_on_a_pooled_connection_that_dies_is_retried_once(
    connect: Connect, upstream: ScriptedUpstream, end: End
) -> None:
    dies_on_reuse(upstream, end)
    assert (await ask(connect, GET)).status == 200
    assert (await ask(connect, GET)).status == 200
    assert (len(upstream.received), upstream.connections) == (3, 2)


@pytest.mark.parametrize("end", [fin, reset])
@pytest.mark.parametrize("method", [b"GET", b"DELETE", b"HEAD", b"OPTIONS"])
async def test_a_request_on_a_new_connection_is_not_retried(
    connect: Connect, upstream: ScriptedUpstream, method: bytes, end: End
) -> None:
    """LM Studio may have begun it."""

    async def dies(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        end(writer)

    upstream.script = dies
    assert (await ask(connect, request(method + b" /v1/models"))).status == 502
    assert len(upstream.received) == 1


@pytest.mark.parametrize("end", [fin, reset])
async def test_a_request_with_half_a_response_is_not_retried(
    connect: Connect, upstream: ScriptedUpstream, end: End
) -> None:
    seen = False

    async def dies_later(
        request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        nonlocal seen
        if not seen:
            seen = True
            await answer()(request, reader, writer)
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-")
        await writer.drain()
        await asyncio.wait_for(part_came.wait(), 5)
        end(writer)

    part_came = asyncio.Event()
    data_received = UpstreamProtocol.data_received

    def hear(handler: UpstreamProtocol, data: bytes) -> None:
        data_received(handler, data)
        if data.endswith(b"Content-"):
            part_came.set()

    upstream.script = dies_later
    assert (await ask(connect, GET)).status == 200
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(UpstreamProtocol, "data_received", hear)
        assert (await ask(connect, GET)).status == 502
    assert len(upstream.received) == 2


@pytest.mark.parametrize("end", [fin, reset])
@pytest.mark.parametrize("framing", [b"Content-Length: 8", b"Transfer-Encoding: chunked"])
async def test_a_put_on_a_pooled_connection_that_dies_is_retried_whole_or_not_at_all(
    connect: Connect, upstream: ScriptedUpstream, framing: bytes, end: End
) -> None:
    dies_on_reuse(upstream, end)
    for _ in range(2):
        async with connect() as client:
            body = b"the body" if b"Length" in framing else chunk(b"the body") + chunk(b"")
            assert (await client.ask(request(b"PUT /v1/files/1", framing) + body)).status in {200, 502}
    assert {received.body for received in upstream.received} == {b"the body"}


@pytest.mark.parametrize(("path", "end", "count"), [(CHAT, fin, 150), (b"/v1/files", reset, 30)])
async def test_150_posts_work_though_each_connection_ends_right_after_its_answer(
    gateway: Gateway, connect: Connect, upstream: ScriptedUpstream, path: bytes, end: End, count: int
) -> None:
    upstream.script, writers = remembering(answer())
    end_before_sending(gateway, writers, end)
    async with connect() as client:
        for _ in range(count):
            assert (await client.ask(post(path, PLAIN_BODY))).status == 200
    assert len(upstream.received) == count


@pytest.mark.parametrize("end", [fin, reset])
@pytest.mark.parametrize("path", PATHS)
async def test_a_post_works_after_idle_connections_were_closed(
    gateway: Gateway, connect: Connect, upstream: ScriptedUpstream, path: bytes, end: End
) -> None:
    upstream.script, writers = remembering(answer(), at_once=5)
    answers = await asyncio.gather(*(ask(connect, post(path, PLAIN_BODY)) for _ in range(5)))
    assert [answered.status for answered in answers] == [200] * 5
    upstream.script = answer()
    end_before_sending(gateway, writers, end)
    for _ in range(6):
        assert (await ask(connect, post(path, PLAIN_BODY))).status == 200
    assert (len(upstream.received), upstream.connections) == (11, 6)


@pytest.mark.parametrize("path", PATHS)
async def test_connection_close_of_the_upstream_is_obeyed_and_not_passed_on(
    connect: Connect, upstream: ScriptedUpstream, path: bytes
) -> None:
    # LM Studio announces it, and the gateway has to close.
    upstream.script = answer(extra="Connection: close\r\n")
    async with connect() as client:
        for _ in range(3):
            answered = await client.ask(post(path, PLAIN_BODY))
            assert (answered.status, answered.one("Connection")) == (200, None)
            await asyncio.wait_for(upstream.gone.get(), 5)
    assert upstream.connections == 3


@pytest.mark.parametrize("path", PATHS)
async def test_the_next_posts_work_after_a_restart_of_the_upstream(
    start_gateway: StartGateway, upstream: ScriptedUpstream, path: bytes
) -> None:
    upstream.script, writers = remembering(answer(), at_once=4)
    before = await asyncio.start_server(upstream.serve_connection, "127.0.0.1", 0)
    port = before.sockets[0].getsockname()[1]
    gateway = await start_gateway(f"http://127.0.0.1:{port}", auth={"api_key": KEY})

    async def posted() -> int:
        return (await ask(partial(raw_client, gateway.port), post(path, PLAIN_BODY))).status

    assert await asyncio.gather(*(posted() for _ in range(4))) == [200] * 4
    before.close()
    upstream.script = answer()
    async with await asyncio.start_server(upstream.serve_connection, "127.0.0.1", port):
        end_before_sending(gateway, writers, reset)
        assert await asyncio.gather(*(posted() for _ in range(4))) == [200] * 4
    assert len(upstream.received) == 8


@pytest.mark.parametrize(
    ("method", "script"),
    [
        (b"POST", answer()),
        (b"POST", raw(STREAM_HEAD, chunk(b"data: 1\n\n") + chunk(b""), then_close=False)),
        (b"HEAD", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", then_close=False)),
        (b"GET", raw(b"HTTP/1.1 204 No Content\r\n\r\n", then_close=False)),
    ],
    ids=["plain", "stream", "HEAD", "204"],
)
async def test_20_requests_open_at_most_5_connections(
    connect: Connect, upstream: ScriptedUpstream, method: bytes, script: Script
) -> None:
    upstream.script = script
    async with connect() as client:
        for _ in range(20):
            await client.send(with_body(b"%s %s" % (method, CHAT), STREAM_BODY))
            assert (await client.answer(has_body=method != b"HEAD")).status in {200, 204}
    assert len(upstream.received) == 20
    assert upstream.connections <= 5


async def test_two_equal_gets_reach_the_upstream_twice(connect: Connect, upstream: ScriptedUpstream) -> None:
    upstream.script = answer(extra='ETag: "x"\r\nCache-Control: public, max-age=3600\r\n')
    for _ in range(2):
        assert (await ask(connect, GET)).status == 200
    assert [received.target for received in upstream.received] == ["/v1/models"] * 2
