"""A gateway in front of a simulator, as fixtures for a conftest to import."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from lmgateway.simulator import Pace, Simulator
from tests.conftest import StartGateway
from tests.support.home import QUICK, Home
from tests.support.studio import Held, running_studio


@pytest.fixture
def pace() -> Pace:
    return Pace.instant()


@pytest.fixture
def held() -> Held:
    return Held()


@pytest.fixture
async def home(start_gateway: StartGateway, pace: Pace) -> AsyncIterator[Home]:
    async with running_studio(Simulator(pace=pace)) as studio:
        yield Home(await start_gateway(studio.base_url, lmstudio=QUICK), studio)


@pytest.fixture
async def held_home(start_gateway: StartGateway, held: Held) -> AsyncIterator[Home]:
    """The same, with loads that wait for `held.step()`."""
    async with running_studio(Simulator(pace=held)) as studio:
        yield Home(await start_gateway(studio.base_url, lmstudio=QUICK), studio)
        held.finish()
