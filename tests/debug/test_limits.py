"""/debug/limits: what is left of the limits of keys."""

from __future__ import annotations

import asyncio

import pytest

from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.key_limits import CHAT, HELLO, LimitClocks, ask
from tests.support.keys import OWNER, call, make_key, revoke_key
from tests.support.upstream import Received, ScriptedUpstream, answer


@pytest.fixture
async def gateway(start_gateway: StartGateway, upstream: ScriptedUpstream) -> Gateway:
    """A gateway whose LM Studio answers every request with 10 tokens."""
    upstream.script = answer(b'{"usage": {"prompt_tokens": 3, "completion_tokens": 7, "total_tokens": 10}}')
    return await start_gateway(upstream.base_url, auth={"api_key": OWNER})


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> LimitClocks:
    return LimitClocks(monkeypatch)


@pytest.mark.usefixtures("clocks")
async def test_each_limited_key_has_what_it_used_and_what_is_left(gateway: Gateway) -> None:
    """By name; a key without limits has no row, and one that is revoked has none any more."""
    ben_limits = {"requestsPerMinute": 3, "tokensPerMinute": 8, "tokensPerDay": 100}
    ben = await make_key(gateway, "ben", limits=ben_limits)
    await make_key(gateway, "anna", limits={"running": 2})
    await make_key(gateway, "free")
    assert (await ask(gateway, ben))[0] == 200
    reply = await call(gateway, "GET", "/debug/limits")
    anna_row = {
        "key": "anna",
        "limits": {"running": 2},
        "used": {"tokensPerDay": 0},
        "left": {},
        "running": 0,
    }
    ben_row = {
        "key": "ben",
        "limits": ben_limits,
        "used": {"requestsPerMinute": 1, "tokensPerMinute": 10, "tokensPerDay": 10},
        "left": {"requestsPerMinute": 2, "tokensPerMinute": 0, "tokensPerDay": 90},
        "running": 0,
    }
    assert (reply.status, reply.body) == (200, {"keys": [anna_row, ben_row]})
    await revoke_key(gateway, "ben")
    assert (await call(gateway, "GET", "/debug/limits")).body == {"keys": [anna_row]}


async def test_running_requests_are_counted(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """Those of the key, while LM Studio has them."""
    anna = await make_key(gateway, "anna", limits={"running": 2})
    arrived, go_on = asyncio.Event(), asyncio.Event()
    whole = upstream.script

    async def held(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await go_on.wait()
        await whole(request, reader, writer)

    upstream.script = held
    running = asyncio.create_task(call(gateway, "POST", CHAT, HELLO, key=anna))
    await asyncio.wait_for(arrived.wait(), 5)
    (row,) = (await call(gateway, "GET", "/debug/limits")).body["keys"]
    go_on.set()
    assert (await running).status == 200
    assert row["running"] == 1
    (row,) = (await call(gateway, "GET", "/debug/limits")).body["keys"]
    assert row["running"] == 0


async def test_it_needs_observe(gateway: Gateway) -> None:
    """And no more than that."""
    for scope, status in (("inference", 403), ("observe", 200)):
        key = await make_key(gateway, scope, scopes=[scope])
        assert (await call(gateway, "GET", "/debug/limits", key=key)).status == status
