"""A box that a reload gives another address and another token."""

from __future__ import annotations

from yarl import URL

from lmgateway.app import reconfigure
from lmgateway.config import Config, LMStudio
from lmgateway.web.state import ACTIVITY
from tests.conftest import StartGateway
from tests.support.raw_client import raw_client
from tests.support.upstream import ScriptedUpstream, scripted_upstream
from tests.support.waiting import until

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n"


async def test_a_request_carries_the_token_of_the_address_it_is_sent_to(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Also if it began before a reload: one LM Studio's token is never sent to another."""
    gateway = await start_gateway(upstream.base_url, lmstudio={"api_token": "sk-lm-old:1"})
    async with scripted_upstream() as other, raw_client(gateway.port) as client:
        await client.send(HEAD + b"{")
        await until(lambda: gateway.app[ACTIVITY].running)
        lmstudio = LMStudio(base_url=URL(other.base_url), api_token="sk-lm-new:2")
        await reconfigure(gateway.app, Config(lmstudio=lmstudio))
        await client.send(b"}")
        assert b" 200 " in await client.head()
        assert other.last.all("Authorization") == ["Bearer sk-lm-new:2"]
    assert not upstream.received
