"""A gateway in front of a simulator with a chat and an embedding model, both active, or of a script."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from lmgateway.simulator import Pace, Simulator
from tests.conftest import StartGateway
from tests.support.home import QUICK, Home
from tests.support.studio import Studio, running_studio
from tests.support.upstream import ScriptedUpstream

LLM, EMBEDDING = "qwen2.5-7b-instruct", "text-embedding-nomic-embed-text-v1.5"


def usage_of(prompt: int, completion: int) -> dict[str, int | None]:
    """Return the usage of an answer whose reasoning and cached tokens LM Studio didn't report."""
    counts = {"promptTokens": prompt, "completionTokens": completion, "totalTokens": prompt + completion}
    return {**counts, "reasoningTokens": None, "cachedTokens": None}


@pytest.fixture
async def scripted(start_gateway: StartGateway, upstream: ScriptedUpstream) -> Home:
    return Home(await start_gateway(upstream.base_url), Studio(None))  # type: ignore[arg-type]


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
