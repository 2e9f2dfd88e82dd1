"""What people wrote reaches only readers of the events that have the scope `log`."""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from lmgateway.boxes.log import events as log_events
from lmgateway.observe.events import Event, ModelUnloadStart
from lmgateway.web.event_kinds import EVENT_KINDS
from lmgateway.web.state import EVENTS
from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.keys import OWNER, call, change_key, make_key
from tests.support.raw_client import RawClient, raw_client
from tests.support.requests import request
from tests.support.waiting import PATIENCE_SECONDS

NOWHERE = "http://127.0.0.1:9"
SECRET = "what a person wrote"
LAST = "the-last-event"
LINE = {"timestamp": "2026-01-01", "level": "info", "message": SECRET, "raw": SECRET}
LOG: list[Event] = [
    log_events.DebugLog(**LINE),
    log_events.ChatStart(message=SECRET),
    log_events.ProcessingStart(message=SECRET),
    log_events.SamplingParams(),
    log_events.PromptProgress(progress=1.0, message=SECRET),
    log_events.CacheStats(reused=1, total=2, percentage=50.0, prefix=1, non_prefix=0, message=SECRET),
    log_events.TokenInfo(n_ctx=1),
    log_events.MonthTransition(old_directory=SECRET, new_directory="b", new_log_file="c"),
]
NAMES = ["debug_log", *sorted(event.name for event in LOG if event.name != "debug_log")]


@pytest.fixture
async def gateway(start_gateway: StartGateway) -> Gateway:
    return await start_gateway(NOWHERE, auth={"api_key": OWNER})


def publish(gateway: Gateway) -> None:
    """The log's events, and one that any reader gets."""
    for event in LOG:
        gateway.app[EVENTS].publish(event)
    gateway.app[EVENTS].publish(ModelUnloadStart(model_key=LAST, instance_id=None))


async def names_until_the_last(client: RawClient) -> list[str]:
    text = await asyncio.wait_for(client.reader.readuntil(LAST.encode()), PATIENCE_SECONDS)
    return re.findall(r"event: (\w+)", text.decode())


def ask(key: str, query: bytes = b"", *lines: bytes) -> bytes:
    return request(b"GET /debug/stream" + query, b"Authorization: Bearer " + key.encode(), *lines)


async def open_stream(client: RawClient, sent: bytes) -> None:
    await client.send(sent)
    assert (await client.answer_head()).status == 200
    await asyncio.wait_for(client.reader.readuntil(b"event: connected"), PATIENCE_SECONDS)


def test_every_event_of_lm_studios_log_is_meant() -> None:
    """debug_log and all whose names begin with lmstudio_, and no other."""
    holding = {kind.name for kind in EVENT_KINDS if kind.holds_prompts}
    assert holding == {
        kind.name for kind in EVENT_KINDS if kind.name == "debug_log" or kind.name.startswith("lmstudio_")
    }
    assert holding == {*NAMES}


@pytest.mark.parametrize(
    ("scopes", "gets_log"),
    [(["observe"], False), (["observe", "inference", "models", "tools"], False), (["observe", "log"], True)],
)
@pytest.mark.parametrize("way", ["live", "by types", "replayed"])
async def test_who_gets_the_log(gateway: Gateway, scopes: list[str], gets_log: bool, way: str) -> None:
    key = await make_key(gateway, "reader", scopes=scopes)
    query = b"?types=debug_log,model_unload_start,lmstudio_chat_start" if way == "by types" else b""
    async with raw_client(gateway.port) as client:
        if way == "replayed":
            publish(gateway)
            await open_stream(client, ask(key, b"", b"Last-Event-ID: 0"))
        else:
            await open_stream(client, ask(key, query))
            publish(gateway)
        names = [name for name in await names_until_the_last(client) if name != "key_changed"]
    log = ["debug_log", "lmstudio_chat_start"] if way == "by types" else [event.name for event in LOG]
    assert names == [*(log if gets_log else []), "model_unload_start"]


@pytest.mark.parametrize("by", ["owner", "admin"])
async def test_the_owner_and_admins_get_it(gateway: Gateway, by: str) -> None:
    key = OWNER if by == "owner" else await make_key(gateway, "boss", scopes=["admin"])
    async with raw_client(gateway.port) as client:
        await open_stream(client, ask(key))
        publish(gateway)
        assert {*NAMES} <= {*await names_until_the_last(client)}


async def test_asking_only_for_the_log_without_its_scope_is_403(gateway: Gateway) -> None:
    """It names the scope. With the scope `log` alone the stream isn't open either."""
    observer = await make_key(gateway, "observer", scopes=["observe"])
    for types in (*NAMES, "debug_log,lmstudio_chat_start"):
        reply = await call(gateway, "GET", f"/debug/stream?types={types}", key=observer)
        assert (reply.status, "scope log" in json.dumps(reply.body)) == (403, True), types
    logger = await make_key(gateway, "logger", scopes=["log"])
    reply = await call(gateway, "GET", "/debug/stream?types=debug_log", key=logger)
    assert (reply.status, "scope observe" in json.dumps(reply.body)) == (403, True)


async def test_a_reader_that_loses_the_scope_gets_no_more_of_it(gateway: Gateway) -> None:
    """Its stream goes on with the other events, and gets the log's again with the scope."""
    key = await make_key(gateway, "reader", scopes=["observe", "log"])
    async with raw_client(gateway.port) as client:
        await open_stream(client, ask(key))
        seen = []
        for scopes in (["observe", "log"], ["observe"], ["observe", "log"]):
            await change_key(gateway, "reader", scopes=scopes)
            publish(gateway)
            seen.append({*NAMES} & {*await names_until_the_last(client)})
    assert seen == [{*NAMES}, set(), {*NAMES}]


async def test_a_reader_of_the_log_alone_that_loses_the_scope_is_ended(gateway: Gateway) -> None:
    """Its next request gets the reason."""
    key = await make_key(gateway, "reader", scopes=["observe", "log"])
    sent = ask(key, b"?types=debug_log")
    async with raw_client(gateway.port) as client:
        await open_stream(client, sent)
        await change_key(gateway, "reader", scopes=["observe"])
        publish(gateway)
        async with asyncio.timeout(1):
            assert SECRET.encode() not in await client.reader.readuntil(b"\r\n0\r\n\r\n")
        answer = await client.ask(sent)
    assert (answer.status, b"scope log" in answer.body) == (403, True)
