"""A household whose LM Studio has a chat and an embedding model, both active."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from lmgateway.simulator import Pace, Simulator
from tests.conftest import StartGateway
from tests.support.home import QUICK, Home
from tests.support.studio import running_studio

LLM, EMBEDDING = "qwen2.5-7b-instruct", "text-embedding-nomic-embed-text-v1.5"


@pytest.fixture
async def home(start_gateway: StartGateway) -> AsyncIterator[Home]:
    simulator = Simulator(pace=Pace.instant())
    simulator.load(LLM)
    simulator.load(EMBEDDING)
    async with running_studio(simulator) as studio:
        home = Home(await start_gateway(studio.base_url, lmstudio=QUICK), studio)
        await home.post("activate", modelKey=LLM)
        await home.post("activate", modelKey=EMBEDDING)
        yield home
