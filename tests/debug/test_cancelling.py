"""DELETE /debug/requests/{id}: a key may end its own requests, an admin those of all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.keys import OWNER, call, make_key
from tests.support.raw_client import RawClient, raw_client
from tests.support.requests import json_post, request
from tests.support.upstream import STREAM_HEAD, Received, ScriptedUpstream, chunk, silent
from tests.support.waiting import PATIENCE_SECONDS

ID = "chosen-by-the-client"


@pytest.fixture
async def gateway(start_gateway: StartGateway, upstream: ScriptedUpstream) -> Gateway:
    upstream.script = silent
    return await start_gateway(upstream.base_url, auth={"api_key": OWNER})


@asynccontextmanager
async def waiting_request(
    gateway: Gateway, upstream: ScriptedUpstream, key: str | None, request_id: str = ID
) -> AsyncIterator[RawClient]:
    """A request that LM Studio doesn't answer."""
    lines = (b"X-Request-Id: " + request_id.encode(),)
    if key is not None:
        lines += (b"Authorization: Bearer " + key.encode(),)
    async with raw_client(gateway.port) as client:
        await client.send(json_post(b"/v1/chat/completions", b'{"model": "m"}', *lines))
        await asyncio.wait_for(upstream.arrivals.get(), PATIENCE_SECONDS)
        yield client


async def cancel(gateway: Gateway, key: str | None, request_id: str = ID) -> tuple[int, str]:
    reply = await call(gateway, "DELETE", f"/debug/requests/{request_id}", key=key)
    return reply.status, str(reply.body)


async def is_running(gateway: Gateway) -> bool:
    return bool((await call(gateway, "GET", "/debug/requests")).body["running"])


async def test_a_key_ends_its_own_request(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """LM Studio's connection is closed, and the client gets 400."""
    key = await make_key(gateway, "anna")
    async with waiting_request(gateway, upstream, key) as client:
        reply = await call(gateway, "DELETE", f"/debug/requests/{ID}", key=key)
        assert (reply.status, reply.body) == (200, {"status": "cancelled", "requestId": ID})
        answer = await client.answer()
        assert (answer.status, b"request_cancelled" in answer.body) == (400, True)
        await asyncio.wait_for(upstream.gone.get(), PATIENCE_SECONDS)
        assert (await cancel(gateway, key))[0] == 404


async def test_a_stream_ends_with_an_error_event(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """Behind the broken connection alone, a client would suspect the network. It isn't a clean end."""

    async def script(_request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(b'data: {"choices": []}\n\n'))
        await reader.read()

    upstream.script = script
    async with raw_client(gateway.port) as client:
        lines = (b"X-Request-Id: " + ID.encode(), b"Authorization: Bearer " + OWNER.encode())
        await client.send(json_post(b"/v1/chat/completions", b'{"model": "m", "stream": true}', *lines))
        await asyncio.wait_for(client.reader.readuntil(b"[]}\n\n\r\n"), PATIENCE_SECONDS)
        assert (await cancel(gateway, OWNER))[0] == 200
        rest = await asyncio.wait_for(client.reader.read(), PATIENCE_SECONDS)
    size, event = rest.removesuffix(b"\r\n").split(b"\r\n", 1)
    assert int(size, 16) == len(event)  # without the last chunk
    error = json.loads(event.removeprefix(b"data: "))["error"]
    assert (error["code"], error["message"]) == (
        "request_cancelled",
        "The request was cancelled at the gateway.",
    )


async def test_also_without_a_key_at_its_address(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """The key is the same."""
    key = await make_key(gateway, "tablet", addresses=["127.0.0.1"])
    async with waiting_request(gateway, upstream, key):
        assert (await cancel(gateway, None))[0] == 200
    async with waiting_request(gateway, upstream, None, "second"):
        assert (await cancel(gateway, key, "second"))[0] == 200


@pytest.mark.parametrize("scopes", [["inference"], ["inference", "models", "observe", "log", "tools"]])
async def test_anothers_request_needs_admin(
    gateway: Gateway, upstream: ScriptedUpstream, scopes: list[str]
) -> None:
    """The refusal names the scope, and the request goes on."""
    anna, bob = await make_key(gateway, "anna"), await make_key(gateway, "bob", scopes=scopes)
    boss = await make_key(gateway, "boss", scopes=["admin"])
    for owner_of_it in (anna, OWNER):
        async with waiting_request(gateway, upstream, owner_of_it) as client:
            status, text = await cancel(gateway, bob)
            assert (status, "scope admin" in text) == (403, True)
            assert await is_running(gateway)
            assert (await cancel(gateway, boss))[0] == 200
            assert (await client.answer()).status == 400


async def test_one_without_inference_ends_nothing(gateway: Gateway) -> None:
    observer = await make_key(gateway, "observer", scopes=["observe", "log", "models", "tools"])
    status, text = await cancel(gateway, observer)
    assert (status, "scope inference" in text) == (403, True)


async def test_the_id_of_anothers_request_reaches_only_ones_own(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    """Clients choose the ids."""
    anna, bob = await make_key(gateway, "anna"), await make_key(gateway, "bob")
    async with (
        waiting_request(gateway, upstream, anna) as annas,
        waiting_request(gateway, upstream, bob) as bobs,
    ):
        assert (await cancel(gateway, bob))[0] == 200
        assert (await bobs.answer()).status == 400
        assert (await cancel(gateway, bob))[0] == 403
        assert (await cancel(gateway, OWNER))[0] == 200
        assert (await annas.answer()).status == 400


async def test_an_unknown_id_is_404(gateway: Gateway) -> None:
    """Cut off in the answer."""
    key = await make_key(gateway, "anna")
    for request_id in ("nothing", "x" * 5000):
        status, text = await cancel(gateway, key, request_id)
        assert (status, len(text) < 500) == (404, True)


async def test_no_page_of_another_origin_ends_one(gateway: Gateway) -> None:
    """The path isn't LM Studio's, so cors.origins' default doesn't open it."""
    key = await make_key(gateway, "anna")
    async with raw_client(gateway.port) as client:
        lines = (b"Origin: https://page.example", b"Authorization: Bearer " + key.encode())
        assert (await client.ask(request(b"DELETE /debug/requests/x", *lines))).status == 403
        preflight = (b"Origin: https://page.example", b"Access-Control-Request-Method: DELETE")
        answer = await client.ask(request(b"OPTIONS /debug/requests/x", *preflight))
    assert answer.one("Access-Control-Allow-Origin") is None
