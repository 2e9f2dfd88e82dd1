"""A box that a reload gives another address and another token."""

from __future__ import annotations

import asyncio

import pytest

from lmgateway.errors import GatewayError
from lmgateway.schema.common import Mobility
from lmgateway.simulator import Pace, Simulator
from lmgateway.traffic.judge import judge_failure
from lmgateway.web import delivery
from lmgateway.web.state import ACTIVITY, FLEET
from tests.conftest import StartGateway
from tests.support.home import QUICK
from tests.support.raw_client import raw_client
from tests.support.reloading import reload
from tests.support.studio import Held, running_studio
from tests.support.upstream import ScriptedUpstream, scripted_upstream
from tests.support.waiting import until

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n"
MODEL = "qwen2.5-7b-instruct"
TOKENS = [("sk-lm-old:1", "sk-lm-new:2"), ("sk-lm-old:1", ""), ("", "sk-lm-new:2")]


@pytest.mark.parametrize(("token", "new_token"), TOKENS)
async def test_a_request_keeps_its_lm_studio_and_the_token_for_it(
    start_gateway: StartGateway, upstream: ScriptedUpstream, token: str, new_token: str
) -> None:
    """A reload while its body is received changes nothing for it, and everything for the next one."""
    gateway = await start_gateway(upstream.base_url, lmstudio={"api_token": token})
    async with scripted_upstream() as other, raw_client(gateway.port) as client:
        await client.send(HEAD + b"{")
        await until(lambda: gateway.app[ACTIVITY].running)
        reload(gateway, lmstudio={"base_url": other.base_url, "api_token": new_token})
        await client.send(b"}")
        assert (await client.answer()).status == 200
        assert not other.received
        assert upstream.last.all("Authorization") == ([f"Bearer {token}"] if token else [])
        await client.send(HEAD + b"{}")
        assert (await client.answer()).status == 200
        assert len(upstream.received) == 1
        assert other.last.all("Authorization") == ([f"Bearer {new_token}"] if new_token else [])


async def test_a_retry_goes_where_the_first_attempt_went(
    start_gateway: StartGateway, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reload in the pause before it sends no token of the old LM Studio to the new one."""
    url = f"http://127.0.0.1:{unused_tcp_port}"
    gateway = await start_gateway(url, lmstudio={"api_token": "sk-lm-old:1"})
    async with scripted_upstream() as other, raw_client(gateway.port) as client:

        def reload_and_judge(failure: GatewayError, attempts: int, mobility: Mobility) -> str:
            reload(gateway, lmstudio={"base_url": other.base_url})
            return judge_failure(failure, attempts, mobility)

        monkeypatch.setattr(delivery, "judge_failure", reload_and_judge)
        await client.send(HEAD + b"{}")
        assert (await client.answer()).status == 503
        assert not other.received


async def test_what_the_old_lm_studio_does_is_no_failure_of_the_new_one(
    start_gateway: StartGateway, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """The health of an address is recorded by the requests to it."""
    breaks = asyncio.Event()

    async def script(_request: object, _reader: object, writer: asyncio.StreamWriter) -> None:
        await breaks.wait()
        writer.close()

    upstream.script = script
    gateway = await start_gateway(upstream.base_url)
    async with scripted_upstream() as other, raw_client(gateway.port) as client:
        await client.send(HEAD + b"{}")
        await asyncio.wait_for(upstream.arrivals.get(), 5)
        reload(gateway, lmstudio={"base_url": other.base_url})
        assert (await gateway.app[FLEET].boxes.main.probe()).reachable
        breaks.set()
        assert (await client.answer()).status == 502
        assert gateway.app[FLEET].boxes.main.health.answered is True
    assert other.base_url not in caplog.text


@pytest.mark.parametrize("action", ["unload", "load", "activate"])
async def test_an_admins_request_is_for_the_lm_studio_that_it_began_with(
    start_gateway: StartGateway, action: str
) -> None:
    """An unload isn't carried out on a model of the same name in the new LM Studio.

    The model that is activated is in memory under this name only in the old one.
    """
    name = "mine" if action == "activate" else MODEL
    body = b'{"modelKey": "%s"}' % name.encode()
    head = b"POST /admin/models/%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    async with (
        running_studio(Simulator(pace=Pace.instant())) as old,
        running_studio(Simulator(pace=Pace.instant())) as new,
    ):
        for studio in {"unload": (old, new), "activate": (old,), "load": ()}[action]:
            studio.simulator.load(MODEL, name)
        gateway = await start_gateway(old.base_url, lmstudio=QUICK)
        async with raw_client(gateway.port) as client:
            await client.send(head % action.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body[:5])
            await until(lambda: gateway.limits.connections)
            async with gateway.client.get(gateway.url("/health")) as response:
                assert response.status == 200  # so the other request has begun too
            reload(gateway, lmstudio={"base_url": new.base_url})
            await client.send(body[5:])
            assert (await client.answer()).status == 200
        assert (bool(old.upgrades), new.upgrades) == (action != "activate", {})
        # Its connections are of no use to anything else.
        await until(lambda: old.sockets == 0)


async def test_a_load_joins_none_on_another_lm_studio(start_gateway: StartGateway) -> None:
    """One of the same model that still runs on the old one isn't the answer for the new one."""
    held = Held()
    async with (
        running_studio(Simulator(pace=held)) as old,
        running_studio(Simulator(pace=Pace.instant())) as new,
    ):
        gateway = await start_gateway(old.base_url, lmstudio=QUICK)
        url, body = gateway.url("/admin/models/load"), {"modelKey": MODEL}
        before = asyncio.create_task(gateway.client.post(url, json=body))
        await asyncio.wait_for(held.waiting.acquire(), 5)
        reload(gateway, lmstudio={"base_url": new.base_url})
        async with asyncio.timeout(5), gateway.client.post(url, json=body) as response:
            assert response.status == 200
        assert [model.identifier for model in await gateway.app[FLEET].boxes.main.sdk.loaded()] == [MODEL]
        held.finish()
        async with await asyncio.wait_for(before, 5) as response:
            assert response.status == 200
        await until(lambda: old.sockets == 0)
