"""Readers of /debug/stream are judged again when a reload changes who is admitted."""

from __future__ import annotations

import asyncio
import logging

import pytest

from lmgateway.observe.events import ModelUnloadStart
from lmgateway.web.debug import SEND_SECONDS
from lmgateway.web.state import EVENTS
from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.raw_client import RawClient, raw_client
from tests.support.reloading import reload
from tests.support.requests import request
from tests.support.waiting import PATIENCE_SECONDS, until

NOWHERE = "http://127.0.0.1:9"
KEY, OTHER_KEY = "the-first-secret", "the-second-secret"
AFTER = "published-after-the-reload"


def publish(gateway: Gateway, model: str) -> None:
    gateway.app[EVENTS].publish(ModelUnloadStart(model_key=model, instance_id=None))


async def subscribe(client: RawClient, *headers: bytes) -> None:
    await client.send(request(b"GET /debug/stream", *headers))
    assert (await client.answer_head()).status == 200
    await asyncio.wait_for(client.reader.readuntil(b"event: connected"), PATIENCE_SECONDS)


async def rest_of_stream(client: RawClient) -> bytes:
    """What follows up to the end of the response, which is a complete one."""
    async with asyncio.timeout(1):
        return await client.reader.readuntil(b"\r\n0\r\n\r\n")


REFUSED = [
    pytest.param({"auth": {"api_key": OTHER_KEY}}, 401, id="another key"),
    pytest.param(
        {"auth": {"api_key": KEY}, "network": {"ip_allowlist": ["10.0.0.0/8"]}}, 403, id="another allowlist"
    ),
    pytest.param({}, 403, id="protected mode"),
]


@pytest.mark.parametrize(("tables", "status"), REFUSED)
async def test_a_reader_that_is_refused_now_hears_nothing_more(
    start_gateway: StartGateway,
    caplog: pytest.LogCaptureFixture,
    tables: dict[str, dict[str, object]],
    status: int,
) -> None:
    """Its stream ends at once and properly, and it gets the reason when it asks again."""
    caplog.set_level(logging.INFO, "lmgateway")
    gateway = await start_gateway(
        NOWHERE, auth={"api_key": KEY}, network={"trusted_proxies": ["127.0.0.1"], "ip_allowlist": ["*"]}
    )
    sender = (b"X-API-Key: " + KEY.encode(), b"X-Forwarded-For: 192.168.1.5")
    async with raw_client(gateway.port) as client:
        await subscribe(client, *sender)
        publish(gateway, "before")
        trusted = {"trusted_proxies": ["127.0.0.1"], **tables.get("network", {})}
        reload(gateway, **{**tables, "network": trusted})
        publish(gateway, AFTER)
        assert AFTER.encode() not in await rest_of_stream(client)
        assert (await client.ask(request(b"GET /debug/stream", *sender))).status == status
    assert gateway.app[EVENTS].subscribers == 0
    line = next(text for text in caplog.messages if "GET /debug/stream" in text)
    assert ("invalid_api_key" if status == 401 else "forbidden") in line
    assert KEY not in caplog.text


async def test_the_others_go_on(start_gateway: StartGateway) -> None:
    """A reader that the new rules admit loses neither its stream nor an event."""
    gateway = await start_gateway(NOWHERE, auth={"api_key": KEY})
    key = b"Authorization: Bearer " + KEY.encode()
    async with raw_client(gateway.port) as stays, raw_client(gateway.port, source="127.0.0.2") as goes:
        await subscribe(stays, key)
        await subscribe(goes, key)
        allowed: dict[str, object] = {"ip_allowlist": ["127.0.0.1"]}
        for tables in ({"auth": {"api_key": KEY}, "network": allowed}, {"network": allowed}):
            reload(gateway, **tables)
            publish(gateway, AFTER)
            await asyncio.wait_for(stays.reader.readuntil(AFTER.encode()), PATIENCE_SECONDS)
        assert AFTER.encode() not in await rest_of_stream(goes)
        assert gateway.app[EVENTS].subscribers == 1


async def test_a_reader_that_reads_nothing_is_cut_off(start_gateway: StartGateway) -> None:
    """It doesn't hold the stream open by leaving an event unread, long before SEND_SECONDS."""
    gateway = await start_gateway(NOWHERE, auth={"api_key": KEY})
    async with raw_client(gateway.port) as stuck:
        await subscribe(stuck, b"X-API-Key: " + KEY.encode())
        stuck.writer.transport.pause_reading()  # type: ignore[attr-defined]
        (connection,) = gateway.limits.connections
        while not connection.writing_paused:
            publish(gateway, "x" * 100_000)
            await asyncio.sleep(0)
        reload(gateway, auth={"api_key": OTHER_KEY})
        assert PATIENCE_SECONDS < SEND_SECONDS
        await until(lambda: not gateway.app[EVENTS].subscribers)
        publish(gateway, AFTER)
        stuck.writer.transport.resume_reading()  # type: ignore[attr-defined]
        received = await stuck.rest()
    assert not received.endswith(b"\r\n0\r\n\r\n")
    assert AFTER.encode() not in received
