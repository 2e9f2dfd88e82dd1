"""What LM Studio's SDK reports of an instance: its slots, its context, and the requests on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from yarl import URL

from lmgateway.boxes.listing import InstanceDetails
from lmgateway.boxes.sdk.calls import SdkCalls
from lmgateway.boxes.sdk.links import SdkLinks
from lmgateway.config import LMStudio
from lmgateway.errors import ModelNotFound, StudioFailed, UpstreamSilent, UpstreamUnavailable
from lmgateway.schema.common import ModelType
from lmgateway.simulator import Pace, Simulator
from lmgateway.simulator.sdk.port import Port
from tests.support.gate import Gate
from tests.support.odd_studio import rewrite_messages
from tests.support.studio import Studio, running_studio
from tests.support.waiting import until

LLM, EMBEDDING = "qwen2.5-7b-instruct", "text-embedding-nomic-embed-text-v1.5"
PROMPT = {"model": LLM, "messages": [{"role": "user", "content": "hi"}]}


@asynccontextmanager
async def calls(studio: Studio, **settings: int) -> AsyncIterator[SdkCalls]:
    config = LMStudio(base_url=URL(studio.base_url), **settings)  # type: ignore[arg-type]
    links = SdkLinks(config)
    try:
        yield SdkCalls(config, links)
    finally:
        await links.close()


@pytest.fixture
async def studio() -> AsyncIterator[Studio]:
    async with running_studio(Simulator(pace=Pace.instant())) as studio:
        yield studio


async def test_requests_in_slots_and_behind_them_are_counted() -> None:
    """Also those of others; with four slots, the fifth request waits in LM Studio."""
    gate = Gate(holds="prompt")
    async with (
        running_studio(Simulator(pace=gate)) as studio,
        calls(studio) as sdk,
        aiohttp.ClientSession() as client,
    ):
        studio.simulator.load(LLM)
        assert await sdk.count_requests("llm", LLM) == 0
        url = f"{studio.base_url}/v1/chat/completions"
        asked = [asyncio.create_task(client.post(url, json=PROMPT)) for _ in range(5)]
        await until(lambda: studio.simulator.ledger.total.begun == 5)
        assert await sdk.count_requests("llm", LLM) == 5
        gate.opened.set()
        await asyncio.gather(*asked)
        assert await sdk.count_requests("llm", LLM) == 0


@pytest.mark.parametrize(
    ("config", "details"),
    [
        ({}, InstanceDetails(4, 4096, unified_cache=True)),
        (
            {"parallel": 7, "useUnifiedKvCache": False, "contextLength": 2048},
            InstanceDetails(7, 2048, unified_cache=False),
        ),
    ],
)
async def test_a_language_model_has_slots_and_a_cache(
    studio: Studio, config: dict[str, object], details: InstanceDetails
) -> None:
    """As it was loaded, or LM Studio's own settings: four slots that share a context."""
    async with calls(studio) as sdk:
        await sdk.load("llm", LLM, None, None, config, on_progress=lambda _: None, cancelled=asyncio.Event())
        assert await sdk.details("llm", LLM) == details


async def test_an_embedding_model_has_neither(studio: Studio) -> None:
    """Its slots are LM Studio's secret."""
    context = studio.simulator.load(EMBEDDING).context_length
    async with calls(studio) as sdk:
        assert await sdk.details("embedding", EMBEDDING) == InstanceDetails(context=context)
        assert await sdk.count_requests("embedding", EMBEDDING) == 0


@pytest.mark.parametrize("kind", ["llm", "embedding"])
async def test_an_instance_that_is_gone_is_not_found(studio: Studio, kind: ModelType) -> None:
    """It has no requests, which isn't the same as none."""
    async with calls(studio) as sdk:
        for ask in (sdk.count_requests, sdk.details):
            with pytest.raises(ModelNotFound):
                await ask(kind, LLM)


@pytest.mark.parametrize("odd", ["-1", "1.5", "true", '"2"', "null", "1e400", "9" * 400, "1000001", "[]"])
async def test_an_odd_count_is_an_error(studio: Studio, monkeypatch: pytest.MonkeyPatch, odd: str) -> None:
    """And no number of requests."""
    studio.simulator.load(LLM)
    rewrite_messages(monkeypatch, ('"queued":0', f'"queued":{odd}'))
    async with calls(studio) as sdk:
        with pytest.raises(StudioFailed):
            await sdk.count_requests("llm", LLM)


@pytest.mark.parametrize(
    ("old", "new", "details"),
    [
        ('Sessions","value":4', 'Sessions","value":0', InstanceDetails(None, 4096, unified_cache=True)),
        ('Sessions","value":4', 'Sessions","value":"4"', InstanceDetails(None, 4096, unified_cache=True)),
        ('KvCache","value":true', 'KvCache","value":1', InstanceDetails(4, 4096)),
        ('Length","value":4096', 'Length","value":1e300', InstanceDetails(4, None, unified_cache=True)),
    ],
)
async def test_an_odd_setting_is_unknown(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, old: str, new: str, details: InstanceDetails
) -> None:
    """The others are known."""
    studio.simulator.load(LLM)
    rewrite_messages(monkeypatch, (old, new))
    async with calls(studio) as sdk:
        assert await sdk.details("llm", LLM) == details


async def test_one_attempt_is_made_to_connect(studio: Studio) -> None:
    """The count is requested again soon: three attempts with pauses would add up."""
    await studio.stop()
    async with calls(studio, connect_pause_ms=10**6) as sdk:
        for ask in (sdk.count_requests, sdk.details):
            with pytest.raises(UpstreamUnavailable):
                await asyncio.wait_for(ask("llm", LLM), 5)


async def test_an_lm_studio_without_the_call_is_silent(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sends a warning that belongs to no call."""
    asked = asyncio.Event()

    async def say_nothing(_: Port, _message: object) -> None:
        asked.set()

    async with calls(studio, call_timeout_ms=50) as sdk:
        await sdk.version()
        monkeypatch.setattr(Port, "send", say_nothing)
        with pytest.raises(UpstreamSilent):
            await sdk.count_requests("llm", LLM)
        assert asked.is_set()
