"""The link to LM Studio: who shares it, and when it is let go of."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator

import pytest
from yarl import URL

from lmgateway.boxes.sdk.calls import SdkCalls
from lmgateway.boxes.sdk.link import SdkLink
from lmgateway.config import LMStudio
from lmgateway.errors import UpstreamSilent, UpstreamUnavailable
from lmgateway.simulator import Pace, Simulator
from tests.support.studio import Studio, running_studio
from tests.support.waiting import until

TOKEN = "sk-lm-abcdefgh:ABCDEFGHIJKLMNOPQRST"
SOCKETS = 3
NEVER = 10**9


@pytest.fixture
async def studio() -> AsyncIterator[Studio]:
    async with running_studio(Simulator(pace=Pace.instant(), api_token=TOKEN)) as studio:
        yield studio


def reached_at(studio: Studio, **settings: object) -> LMStudio:
    return LMStudio(**{"base_url": URL(studio.base_url), "api_token": TOKEN, **settings})  # type: ignore[arg-type]


async def test_what_is_still_used_is_closed_when_it_is_not(studio: Studio) -> None:
    """A list that took too long mustn't end the load beside it, and leaves nothing open after it."""
    link = SdkLink(reached_at(studio))
    async with link.connection() as loading:
        with pytest.raises(UpstreamSilent):
            async with link.connection():
                raise UpstreamSilent("The list took too long.")
        async with link.connection() as fresh:
            assert fresh is not loading
        assert await loading.system.remote_call("version") is not None
        assert studio.sockets == 2 * SOCKETS
    await until(lambda: studio.sockets == SOCKETS)
    await link.close()
    await until(lambda: studio.sockets == 0)


async def test_a_reload_leaves_nothing_open(studio: Studio) -> None:
    """Another address or token means another link; the old one is let go of at once."""
    calls = SdkCalls(reached_at(studio))
    await calls.downloaded()
    calls.reconfigure(reached_at(studio, api_token="sk-lm-abcdefgh:wrongwrongwrongwrong"))
    await until(lambda: studio.sockets == 0)
    with pytest.raises(UpstreamUnavailable, match="set lmstudio"):
        await calls.downloaded()
    calls.reconfigure(reached_at(studio))
    assert await calls.downloaded()
    await calls.close()


async def test_a_reload_while_connecting_is_waited_for(studio: Studio, unused_tcp_port: int) -> None:
    """Who waits for a link that isn't even begun yet, or for a second try, gets one to the new address."""
    nowhere = LMStudio(base_url=URL(f"http://127.0.0.1:{unused_tcp_port}"), connect_pause_ms=NEVER)
    calls = SdkCalls(nowhere)
    for turns in (1, 100):
        asking = asyncio.create_task(calls.downloaded())
        for _ in range(turns):
            await asyncio.sleep(0)
        calls.reconfigure(reached_at(studio))
        assert await asyncio.wait_for(asking, 5)
        calls.reconfigure(nowhere)
    await calls.close()


async def test_the_end_is_the_end(studio: Studio) -> None:
    """Whoever still waits gets an error and makes nothing anew; a call that is still on the link loses it."""
    link = SdkLink(reached_at(studio))
    asking = asyncio.create_task(link.connection().__aenter__())
    await asyncio.sleep(0)
    await link.close()
    with pytest.raises(UpstreamUnavailable):
        await asking
    link = SdkLink(reached_at(studio))
    async with link.connection():
        link.reconfigure(reached_at(studio, api_token=""))
        assert studio.sockets == SOCKETS
        await link.close()
        await until(lambda: studio.sockets == 0)


async def test_a_failure_that_nobody_waits_for_is_no_fault(
    unused_tcp_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A tab that is closed while LM Studio is looked for leaves no fault in the log."""
    calls = SdkCalls(LMStudio(base_url=URL(f"http://127.0.0.1:{unused_tcp_port}"), connect_pause_ms=0))
    asking = asyncio.create_task(calls.downloaded())
    await asyncio.sleep(0)
    assert calls._link._connecting is not None
    asking.cancel()
    await until(lambda: calls._link._connecting is None)
    del asking  # which holds what it waited for
    gc.collect()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    await calls.close()


@pytest.mark.parametrize(
    "settings", [{"api_token": ""}, {"base_url": URL("https://127.0.0.1:1")}], ids=["token", "https"]
)
async def test_what_cant_get_better_isnt_tried_again(studio: Studio, settings: dict[str, object]) -> None:
    """A wrong token is as wrong two seconds later."""
    calls = SdkCalls(reached_at(studio, connect_pause_ms=NEVER, **settings))
    with pytest.raises(UpstreamUnavailable):
        await asyncio.wait_for(calls.downloaded(), 5)
    await calls.close()
