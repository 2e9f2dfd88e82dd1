"""The link to LM Studio: sharing, replacing and closing it."""

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


async def test_a_replaced_connection_is_closed_after_its_last_use(studio: Studio) -> None:
    """A listing that times out doesn't end the load beside it; its connection is closed afterwards."""
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
    """Another address or token means another link; the old one is closed at once."""
    calls = SdkCalls(reached_at(studio))
    await calls.downloaded()
    calls.reconfigure(reached_at(studio, api_token="sk-lm-abcdefgh:wrongwrongwrongwrong"))
    await until(lambda: studio.sockets == 0)
    with pytest.raises(UpstreamUnavailable, match="set lmstudio"):
        await calls.downloaded()
    calls.reconfigure(reached_at(studio))
    assert await calls.downloaded()
    await calls.close()


async def test_a_reload_while_connecting_connects_anew(studio: Studio, unused_tcp_port: int) -> None:
    """A call that waits for its first or second try gets a link to the new address."""
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


async def test_closing(studio: Studio) -> None:
    """A waiting call fails, and a running call loses its connection; neither connects again."""
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


async def test_an_abandoned_failure_is_no_fault(
    unused_tcp_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that disconnects during the set-up leaves no warning in the log."""
    calls = SdkCalls(LMStudio(base_url=URL(f"http://127.0.0.1:{unused_tcp_port}"), connect_pause_ms=0))
    asking = asyncio.create_task(calls.downloaded())
    await asyncio.sleep(0)
    assert calls._link._connecting is not None
    asking.cancel()
    await until(lambda: calls._link._connecting is None)
    del asking  # which refers to the failed task
    gc.collect()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    await calls.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        *(({"api_token": token}, "lmstudio.api_token") for token in ("", "sk-lm-abcdefgh:wrong", "no token")),
        *(
            ({"base_url": URL(url)}, "plain http")
            for url in ("https://127.0.0.1:1", "http://127.0.0.1:1/path")
        ),
    ],
)
async def test_a_permanent_failure_is_explained_and_not_retried(
    studio: Studio, settings: dict[str, object], message: str
) -> None:
    """A wrong token stays wrong; the SDK needs plain HTTP at a host and a port."""
    calls = SdkCalls(reached_at(studio, connect_pause_ms=NEVER, **settings))
    with pytest.raises(UpstreamUnavailable, match=message):
        await asyncio.wait_for(calls.downloaded(), 5)
    await calls.close()
