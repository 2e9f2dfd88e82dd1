"""Libraries of Python wait through keep-alives, and report what fails after them."""

from __future__ import annotations

import asyncio

import pytest

from tests.conftest import StartGateway
from tests.support.held_streams import KEEP_ALIVES, KEEPALIVE_MS
from tests.support.waiting import PATIENCE_SECONDS, until
from tests.waiting.conftest import Place
from tests.waiting.libraries import LIBRARIES


@pytest.mark.parametrize("name", LIBRARIES)
async def test_waits(start_gateway: StartGateway, place: Place, name: str) -> None:
    """Its answer is the one of a model that answers at once."""
    library = LIBRARIES[name]
    async with place(start_gateway, keepalive_ms=KEEPALIVE_MS) as waiting:
        asking = asyncio.create_task(library.ask(waiting.relay.base_url))
        await until(lambda: waiting.received(KEEP_ALIVES[library.path]) >= 3 or asking.done())
        await waiting.go_on()
        answer = await asyncio.wait_for(asking, PATIENCE_SECONDS)
    assert "simulated" in answer


@pytest.mark.parametrize("name", LIBRARIES)
async def test_raises(start_gateway: StartGateway, place: Place, name: str) -> None:
    """An exception with the reason, and never an empty answer."""
    library = LIBRARIES[name]
    async with place(start_gateway, keepalive_ms=KEEPALIVE_MS) as waiting:
        asking = asyncio.create_task(library.ask(waiting.relay.base_url))
        await until(lambda: waiting.received(KEEP_ALIVES[library.path]) >= 2 or asking.done())
        waiting.fail()
        with pytest.raises(library.errors, match="LM Studio is gone"):
            await asyncio.wait_for(asking, PATIENCE_SECONDS)
