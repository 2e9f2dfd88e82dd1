"""The link to LM Studio: sharing, replacing and closing it."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator

import pytest
from yarl import URL

from lmgateway.boxes.origin import Origin
from lmgateway.boxes.sdk.calls import SdkCalls
from lmgateway.boxes.sdk.link import SdkLink
from lmgateway.boxes.sdk.links import SdkLinks
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
    config = reached_at(studio)
    links = SdkLinks(config)
    async with links.connection(config) as loading:
        with pytest.raises(UpstreamSilent):
            async with links.connection(config):
                raise UpstreamSilent("The list took too long.")
        async with links.connection(config) as fresh:
            assert fresh is not loading
        assert await loading.system.remote_call("version") is not None
        assert studio.sockets == 2 * SOCKETS
    await until(lambda: studio.sockets == SOCKETS)
    await links.close()
    await until(lambda: studio.sockets == 0)


async def test_a_reload_leaves_nothing_open(studio: Studio) -> None:
    """Another address or token means another link; an unused old one is closed at once."""
    config = reached_at(studio)
    links = SdkLinks(config)
    await SdkCalls(config, links).downloaded()
    refused = reached_at(studio, api_token="sk-lm-abcdefgh:wrongwrongwrongwrong")
    links.prefer(refused)
    await until(lambda: studio.sockets == 0)
    with pytest.raises(UpstreamUnavailable, match="set lmstudio"):
        await SdkCalls(refused, links).downloaded()
    links.prefer(config)
    assert await SdkCalls(config, links).downloaded()
    assert studio.sockets == SOCKETS
    await links.close()


async def test_a_reload_of_something_else_keeps_the_connection(studio: Studio) -> None:
    """A changed timeout is no reason to connect again."""
    config = reached_at(studio)
    links = SdkLinks(config)
    await SdkCalls(config, links).downloaded()
    changed = reached_at(studio, call_timeout_ms=5_000)
    links.prefer(changed)
    await SdkCalls(changed, links).downloaded()
    assert studio.upgrades["/system"] == 1
    await links.close()


async def test_calls_to_the_old_address_end_there(studio: Studio) -> None:
    """One that is running at a reload, and one that begins afterwards for a request from before it."""
    config = reached_at(studio)
    links = SdkLinks(config)
    async with running_studio(Simulator(pace=Pace.instant())) as other:
        new = LMStudio(base_url=URL(other.base_url))
        async with links.connection(config) as running:
            links.prefer(new)
            assert await SdkCalls(new, links).downloaded()
            assert await running.system.remote_call("version") is not None
        await until(lambda: studio.sockets == 0)
        assert await SdkCalls(config, links).downloaded()
        await until(lambda: studio.sockets == 0)
        assert other.upgrades["/system"] == 1
        await links.close()


@pytest.mark.parametrize("turns", [1, 100])
async def test_a_reload_while_connecting_delays_nobody_else(
    studio: Studio, unused_tcp_port: int, turns: int
) -> None:
    """A call to the new address doesn't wait for the attempts to connect to the old one."""
    nowhere = LMStudio(base_url=URL(f"http://127.0.0.1:{unused_tcp_port}"), connect_pause_ms=NEVER)
    links = SdkLinks(nowhere)
    asking = asyncio.create_task(SdkCalls(nowhere, links).downloaded())
    for _ in range(turns):
        await asyncio.sleep(0)
    links.prefer(reached_at(studio))
    assert await asyncio.wait_for(SdkCalls(reached_at(studio), links).downloaded(), 5)
    assert not asking.done()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await links.close()


async def test_closing(studio: Studio) -> None:
    """A waiting call fails, and a running call loses its connection; neither connects again."""
    config = reached_at(studio)
    links = SdkLinks(config)
    asking = asyncio.create_task(links.connection(config).__aenter__())
    await asyncio.sleep(0)
    await links.close()
    with pytest.raises(UpstreamUnavailable):
        await asking
    with pytest.raises(UpstreamUnavailable):
        await links.connection(config).__aenter__()
    links = SdkLinks(config)
    async with links.connection(config):
        links.prefer(reached_at(studio, api_token=""))
        assert studio.sockets == SOCKETS
        await links.close()
        await until(lambda: studio.sockets == 0)


async def test_a_lost_connection_is_reported_at_once(studio: Studio) -> None:
    """Once for its three sockets, without a call; the next call makes a new one."""
    config, losses = reached_at(studio), list[str]()
    links = SdkLinks(config)
    links.on_lost = lambda: losses.append("lost")
    calls = SdkCalls(config, links)
    await calls.downloaded()
    await studio.stop()
    await until(lambda: losses)
    await studio.start()
    await calls.downloaded()
    assert losses == ["lost"]
    await studio.stop()
    await until(lambda: losses == ["lost"] * 2)
    await links.close()


async def test_what_the_gateway_closes_itself_is_not_lost(studio: Studio) -> None:
    """A replaced connection, that of an address from before a reload, and the last one."""
    config, losses = reached_at(studio), list[str]()
    links = SdkLinks(config)
    links.on_lost = lambda: losses.append("lost")
    with pytest.raises(UpstreamSilent):
        async with links.connection(config):
            raise UpstreamSilent("The list took too long.")
    await until(lambda: studio.sockets == 0)
    await SdkCalls(config, links).downloaded()
    links.prefer(reached_at(studio, api_token=""))
    await until(lambda: studio.sockets == 0)
    links.prefer(config)
    await SdkCalls(config, links).downloaded()
    await links.close()
    await until(lambda: studio.sockets == 0)
    assert losses == []


async def test_an_old_address_is_not_missed(studio: Studio) -> None:
    """Its LM Studio may go while a request from before a reload still calls it."""
    config, losses = reached_at(studio), list[str]()
    links = SdkLinks(config)
    links.on_lost = lambda: losses.append("lost")
    async with links.connection(config):
        links.prefer(reached_at(studio, api_token=""))
        await studio.stop()
        await until(lambda: studio.sockets == 0)
    await links.close()
    assert losses == []


async def test_an_abandoned_failure_is_no_fault(
    unused_tcp_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that disconnects during the set-up leaves no warning in the log."""
    config = LMStudio(base_url=URL(f"http://127.0.0.1:{unused_tcp_port}"), connect_pause_ms=0)
    link = SdkLink(Origin.of(config), set())
    asking = asyncio.create_task(link.connection(config).__aenter__())
    await asyncio.sleep(0)
    assert link._connecting is not None
    asking.cancel()
    await until(lambda: link._connecting is None)
    del asking  # which refers to the failed task
    gc.collect()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    link.close()


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
    config = reached_at(studio, connect_pause_ms=NEVER, **settings)
    links = SdkLinks(config)
    with pytest.raises(UpstreamUnavailable, match=message):
        await asyncio.wait_for(SdkCalls(config, links).downloaded(), 5)
    await links.close()
