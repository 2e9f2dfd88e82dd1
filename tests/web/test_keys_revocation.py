"""What runs of a key that was revoked or rotated, or has expired, ends within a second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from math import inf

import pytest

from lmgateway.observe.events import ModelUnloadStart
from lmgateway.simulator import Pace, Simulator
from lmgateway.web.state import EVENTS, KEYS
from tests.conftest import StartGateway
from tests.support.clock import Clock
from tests.support.gateway import Gateway
from tests.support.keys import OWNER, call, change_key, make_key
from tests.support.raw_client import RawClient, raw_client
from tests.support.requests import json_post, request
from tests.support.studio import Studio, running_studio
from tests.support.upstream import ScriptedUpstream, silent
from tests.support.waiting import PATIENCE_SECONDS, until

MODEL = "qwen2.5-7b-instruct"
EXPIRY, AFTER_IT = "2999-01-01T00:00:00Z", 33_000_000_000.0  # which is in 3015
CHAT, MESSAGES, UPLOAD = b"/v1/chat/completions", b"/v1/messages", b"/v1/audio/transcriptions"
END_OF_BODY = b"\r\n0\r\n\r\n"
BODY = (
    b'{"model": "qwen2.5-7b-instruct", "max_tokens": 5, "stream": %s,'
    b' "messages": [{"role": "user", "content": "Hello!"}]}'
)


class Steps(Pace):
    """Each token waits for a permit."""

    def __init__(self) -> None:
        super().__init__(prompt_tokens_per_second=inf, tokens_per_second=inf, load_seconds=0)
        self.waiting = 0
        self._permits = asyncio.Semaphore(0)

    async def token(self, speed: float = 1.0) -> None:
        self.waiting += 1
        try:
            await self._permits.acquire()
        finally:
            self.waiting -= 1

    def permit(self, tokens: int) -> None:
        for _ in range(tokens):
            self._permits.release()


@dataclass
class House:
    gateway: Gateway
    studio: Studio
    pace: Steps
    end: Callable[[], Awaitable[None]]
    """Ends the key `victim` in one of the ways."""


async def revoke(gateway: Gateway) -> None:
    assert (await call(gateway, "DELETE", "/admin/keys/victim")).status == 200


async def rotate(gateway: Gateway) -> None:
    assert (await call(gateway, "POST", "/admin/keys/victim/rotate", {})).status == 200


def set_clock(monkeypatch: pytest.MonkeyPatch, now: float) -> None:
    for module in ("callers", "keys"):
        monkeypatch.setattr(f"lmgateway.access.{module}.unix_time", lambda: now)


@pytest.fixture(params=["revoked", "rotated", "expired"])
async def house(
    request: pytest.FixtureRequest, start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    simulator = Simulator(pace=(pace := Steps()))
    simulator.load(MODEL)
    async with running_studio(simulator) as studio:
        gateway = await start_gateway(studio.base_url, auth={"api_key": OWNER})
        clock = Clock(monkeypatch)

        async def expire() -> None:
            set_clock(monkeypatch, AFTER_IT)
            await clock.pass_seconds(1)

        ways = {"revoked": partial(revoke, gateway), "rotated": partial(rotate, gateway), "expired": expire}
        yield House(gateway, studio, pace, ways[request.param])


def bearer(key: str) -> bytes:
    return b"Authorization: Bearer " + key.encode()


async def make_victim(house: House, **settings: object) -> str:
    return await make_key(house.gateway, "victim", expiresAt=EXPIRY, **settings)


async def begin_stream(client: RawClient, key: str) -> None:
    await client.send(json_post(CHAT, BODY % b"true", bearer(key)))


async def test_a_stream_breaks_off_and_the_others_go_on(house: House) -> None:
    """LM Studio stops for it; the owner's and another key's streams get all their tokens."""
    victim, other = await make_victim(house), await make_key(house.gateway, "other")
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(raw_client(house.gateway.port)) for _ in range(3)]
        for client, key in zip(clients, (victim, other, OWNER), strict=True):
            await begin_stream(client, key)
        await until(lambda: house.pace.waiting == 3)
        house.pace.permit(3)
        for client in clients:
            assert (await client.answer_head()).status == 200
            await asyncio.wait_for(client.reader.readuntil(b"data: {"), PATIENCE_SECONDS)
        await until(lambda: house.pace.waiting == 3)
        await house.end()
        async with asyncio.timeout(1):
            broken = await clients[0].reader.read()
            await house.studio.simulator.ledger.wait(left=1)
        assert not broken.endswith(END_OF_BODY)
        assert b"[DONE]" not in broken
        house.pace.permit(100)
        for client in clients[1:]:
            whole = await asyncio.wait_for(client.reader.readuntil(END_OF_BODY), PATIENCE_SECONDS)
            assert b"[DONE]" in whole
        await house.studio.simulator.ledger.wait(finished=2, aborted=1)
    assert (await call(house.gateway, "GET", "/v1/models", key=victim)).status == 401


@pytest.mark.parametrize(
    ("path", "shape"),
    [(CHAT, b'{"error":{"message":"'), (MESSAGES, b'{"type":"error","error":{"type":"authentication_error"')],
)
async def test_a_plain_request_is_401(house: House, path: bytes, shape: bytes) -> None:
    """In its path's shape, with a challenge; LM Studio stops."""
    victim = await make_victim(house)
    async with raw_client(house.gateway.port) as client:
        await client.send(json_post(path, BODY % b"false", bearer(victim)))
        await until(lambda: house.pace.waiting == 1)
        await house.end()
        async with asyncio.timeout(1):
            answer = await client.answer()
            await house.studio.simulator.ledger.wait(left=1)
        assert (answer.status, answer.one("WWW-Authenticate")) == (401, "Bearer")
        assert answer.body.startswith(shape)


@pytest.mark.parametrize("path", [CHAT, b"/admin/models/load"])
async def test_a_body_that_is_awaited_is_401(house: House, path: bytes) -> None:
    """LM Studio gets nothing of it."""
    victim = await make_victim(house, scopes=["inference", "models"])
    async with raw_client(house.gateway.port) as client:
        lines = (b"Content-Type: application/json", b"Content-Length: 1000", bearer(victim))
        await client.send(request(b"POST " + path, *lines, body=b"{"))
        await until(lambda: house.gateway.app[KEYS].uses.last("victim"))
        await house.end()
        async with asyncio.timeout(1):
            answer = await client.answer()
        assert answer.status == 401
    assert house.studio.simulator.ledger.total.begun == 0


async def test_an_upload_that_is_forwarded_is_401(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """While it is received; LM Studio's connection is closed."""
    upstream.reads_body, upstream.script = False, silent
    gateway = await start_gateway(upstream.base_url, auth={"api_key": OWNER})
    victim = await make_key(gateway, "victim")
    async with raw_client(gateway.port) as client:
        lines = (b"Content-Type: application/json", b"Content-Length: 1000", bearer(victim))
        await client.send(request(b"POST " + UPLOAD, *lines, body=b"half"))
        await asyncio.wait_for(upstream.arrivals.get(), PATIENCE_SECONDS)
        await revoke(gateway)
        async with asyncio.timeout(1):
            assert (await client.answer()).status == 401
            await upstream.gone.get()


async def subscribe(client: RawClient, key: str) -> None:
    await client.send(request(b"GET /debug/stream", bearer(key)))
    assert (await client.answer_head()).status == 200
    await asyncio.wait_for(client.reader.readuntil(b"event: connected"), PATIENCE_SECONDS)


def publish(gateway: Gateway, model: str) -> None:
    gateway.app[EVENTS].publish(ModelUnloadStart(model_key=model, instance_id=None))


async def test_an_event_stream_ends_and_the_others_go_on(house: House) -> None:
    """It gets no later event."""
    victim = await make_victim(house, scopes=["observe"])
    other = await make_key(house.gateway, "other", scopes=["observe"])
    async with raw_client(house.gateway.port) as ends, raw_client(house.gateway.port) as stays:
        await subscribe(ends, victim)
        await subscribe(stays, other)
        await house.end()
        async with asyncio.timeout(1):
            publish(house.gateway, "afterwards")
            rest = await ends.reader.readuntil(END_OF_BODY)
        assert b"afterwards" not in rest
        await asyncio.wait_for(stays.reader.readuntil(b"afterwards"), PATIENCE_SECONDS)
        assert (await ends.ask(request(b"GET /debug/stream", bearer(victim)))).status == 401


async def test_a_reader_of_events_that_reads_nothing_is_cut_off(house: House) -> None:
    """It doesn't hold the stream open by leaving an event unread."""
    victim = await make_victim(house, scopes=["observe"])
    async with raw_client(house.gateway.port) as stuck:
        await subscribe(stuck, victim)
        stuck.writer.transport.pause_reading()  # type: ignore[attr-defined]
        while not any(one.writing_paused for one in house.gateway.limits.connections):
            publish(house.gateway, "x" * 100_000)
            await asyncio.sleep(0)
        await house.end()
        await until(lambda: not house.gateway.app[EVENTS].subscribers)


async def hold_a_stream(house: House, client: RawClient, key: str | None) -> None:
    """Begin a stream that has sent its head, and waits for its second token."""
    lines = () if key is None else (bearer(key),)
    await client.send(json_post(CHAT, BODY % b"true", *lines))
    await until(lambda: house.pace.waiting == 1)
    house.pace.permit(1)
    assert (await client.answer_head()).status == 200
    await until(lambda: house.pace.waiting == 1)


@pytest.fixture
async def quiet_house(start_gateway: StartGateway) -> AsyncIterator[House]:
    """Nothing ends by itself."""

    async def end() -> None:
        raise NotImplementedError

    simulator = Simulator(pace=(pace := Steps()))
    simulator.load(MODEL)
    async with running_studio(simulator) as studio:
        gateway = await start_gateway(studio.base_url, auth={"api_key": OWNER})
        yield House(gateway, studio, pace, end)


async def test_with_grace_a_stream_goes_on_until_it_is_over(
    quiet_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second before the grace ends it runs, a second after it doesn't."""
    house = quiet_house
    now = 1_900_000_000.0
    set_clock(monkeypatch, now)
    clock = Clock(monkeypatch)
    victim = await make_key(house.gateway, "victim")
    async with raw_client(house.gateway.port) as client:
        await hold_a_stream(house, client, victim)
        rotated = await call(house.gateway, "POST", "/admin/keys/victim/rotate", {"graceSeconds": 60})
        assert rotated.status == 200
        set_clock(monkeypatch, now + 59)
        await clock.pass_seconds(59)
        house.pace.permit(1)
        await asyncio.wait_for(client.reader.readuntil(b"data: {"), PATIENCE_SECONDS)
        await until(lambda: house.pace.waiting == 1)
        assert (await call(house.gateway, "GET", "/v1/models", key=victim)).status == 200
        set_clock(monkeypatch, now + 60)
        await clock.pass_seconds(1)
        async with asyncio.timeout(1):
            assert not (await client.reader.read()).endswith(END_OF_BODY)
            await house.studio.simulator.ledger.wait(left=1)
    assert (await call(house.gateway, "GET", "/v1/models", key=victim)).status == 401
    assert (await call(house.gateway, "GET", "/v1/models", key=rotated.body["key"])).status == 200


async def test_a_clock_that_is_set_forward_ends_what_has_expired(
    quiet_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a second, though a timer would wait for days."""
    house = quiet_house
    victim = await make_victim(house)
    async with raw_client(house.gateway.port) as client:
        await hold_a_stream(house, client, victim)
        set_clock(monkeypatch, AFTER_IT)
        async with asyncio.timeout(1):
            await house.studio.simulator.ledger.wait(left=1)


@pytest.mark.parametrize(("change", "goes_on"), [("rotate", True), ("revoke", False), ("expire", False)])
async def test_a_caller_by_address_ends_with_its_key(
    quiet_house: House, monkeypatch: pytest.MonkeyPatch, change: str, goes_on: bool
) -> None:
    """It sent no secret, so a rotation takes nothing from it."""
    house = quiet_house
    await make_victim(house, addresses=["127.0.0.1"])
    async with raw_client(house.gateway.port) as client:
        await hold_a_stream(house, client, None)
        match change:
            case "rotate":
                await rotate(house.gateway)
            case "revoke":
                await revoke(house.gateway)
            case _:
                set_clock(monkeypatch, AFTER_IT)
        if goes_on:
            house.pace.permit(100)
            await asyncio.wait_for(client.reader.readuntil(b"[DONE]"), PATIENCE_SECONDS)
            return
        async with asyncio.timeout(1):
            await house.studio.simulator.ledger.wait(left=1)
            assert not (await client.reader.read()).endswith(END_OF_BODY)


async def test_a_new_key_of_the_name_doesnt_keep_the_old_ones_requests(quiet_house: House) -> None:
    house = quiet_house
    for addresses in ([], ["127.0.0.1"]):
        key = await make_key(house.gateway, "victim", addresses=addresses)
        async with raw_client(house.gateway.port) as client:
            await hold_a_stream(house, client, None if addresses else key)
            async with asyncio.timeout(1):
                await revoke(house.gateway)
                await make_key(house.gateway, "victim", addresses=addresses)
                assert not (await client.reader.read()).endswith(END_OF_BODY)
        await until(lambda: house.pace.waiting == 0)
        await revoke(house.gateway)


@pytest.mark.parametrize(
    ("patch", "goes_on"),
    [
        ({"scopes": ["inference"]}, False),
        ({"scopes": ["observe"]}, True),
        ({"note": "x"}, True),
        ({"scopes": ["admin"]}, True),
    ],
)
async def test_a_patch_that_takes_observe_away_ends_the_event_stream(
    quiet_house: House, patch: dict[str, object], goes_on: bool
) -> None:
    """Its next request gets the reason; one that doesn't lets it go on."""
    house = quiet_house
    key = await make_key(house.gateway, "victim", scopes=["inference", "observe"])
    async with raw_client(house.gateway.port) as client:
        await subscribe(client, key)
        await change_key(house.gateway, "victim", **patch)
        publish(house.gateway, "afterwards")
        if goes_on:
            await asyncio.wait_for(client.reader.readuntil(b"afterwards"), PATIENCE_SECONDS)
            return
        async with asyncio.timeout(1):
            assert b"afterwards" not in await client.reader.readuntil(END_OF_BODY)
        answer = await client.ask(request(b"GET /debug/stream", bearer(key)))
        assert (answer.status, b"scope observe" in answer.body) == (403, True)


async def test_a_change_of_rights_is_for_the_next_request(quiet_house: House) -> None:
    """A stream that runs keeps what it began with."""
    house = quiet_house
    key = await make_key(house.gateway, "victim")
    async with raw_client(house.gateway.port) as client:
        await hold_a_stream(house, client, key)
        await change_key(house.gateway, "victim", scopes=["observe"], models=["none"])
        assert (await call(house.gateway, "GET", "/v1/models", key=key)).status == 403
        house.pace.permit(100)
        await asyncio.wait_for(client.reader.readuntil(b"[DONE]"), PATIENCE_SECONDS)
