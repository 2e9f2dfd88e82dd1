"""Just-in-time loads: how many there are at once, and what they evict."""

import asyncio
import json

import aiohttp
import pytest

from lmgateway.simulator import Pace, Simulator, Switches
from tests.support.gate import Gate
from tests.support.studio import Held
from tests.support.waiting import PATIENCE_SECONDS

from .conftest import EMBEDDING, LLM, OTHER_LLM, Socket, ask, load_order

MODES = {"default": Switches(), "kept": Switches(auto_evict=False), "joined": Switches(jit_race=False)}


@pytest.fixture(params=["default"])
def simulator(request: pytest.FixtureRequest) -> Simulator:
    return Simulator(pace=Pace.instant(), switches=MODES[request.param])


async def chat(http: aiohttp.ClientSession, model: str) -> tuple[int, str]:
    async with http.post("/v1/chat/completions", json={**ask(), "model": model}) as response:
        return response.status, await response.text()


async def embed(http: aiohttp.ClientSession) -> int:
    async with http.post("/v1/embeddings", json={"model": EMBEDDING, "input": "x"}) as response:
        await response.read()
        return response.status


async def packets(socket: Socket) -> list[dict[str, object]]:
    """Return the packets of a channel until it closes."""
    received = [await socket.receive()]
    while received[-1]["type"] == "channelSend":
        received.append(await socket.receive())
    return [packet["message"] for packet in received[:-1]]  # type: ignore[misc]


def identifiers(simulator: Simulator) -> list[str]:
    return [instance.identifier for instance in simulator.memory.instances()]


async def test_a_busy_model_is_evicted(simulator: Simulator, http: aiohttp.ClientSession):
    """A request for another model cuts off the one that generates, with "Model unloaded."."""
    simulator.pace = gate = Gate(holds="token")
    victim = asyncio.create_task(chat(http, LLM))
    await asyncio.wait_for(gate.reached.wait(), PATIENCE_SECONDS)
    simulator.pace = Pace.instant()
    assert (await chat(http, OTHER_LLM))[0] == 200
    gate.opened.set()
    status, text = await victim
    assert (status, "Model unloaded." in text) == (400, True)
    assert identifiers(simulator) == [OTHER_LLM]
    [unload] = simulator.ledger.unloads
    assert (unload.identifier, unload.model, unload.reason, unload.busy) == (LLM, LLM, "evicted", 1)


async def test_eviction_comes_before_the_load(simulator: Simulator, http: aiohttp.ClientSession):
    """The other model is gone when the load begins, even if the load fails or lasts."""
    assert (await chat(http, LLM))[0] == 200
    simulator.pace = gate = Gate(holds="load")
    other = asyncio.create_task(chat(http, OTHER_LLM))
    await asyncio.wait_for(gate.reached.wait(), PATIENCE_SECONDS)
    assert identifiers(simulator) == []
    gate.opened.set()
    assert (await other)[0] == 200


async def test_what_is_never_evicted(simulator: Simulator, http: aiohttp.ClientSession, llm_socket: Socket):
    """Models loaded by hand, by `/api/v1` and by loadModel stay, and so does the other kind of model."""
    simulator.load(LLM, "by hand")
    async with http.post("/api/v1/models/load", json={"model": LLM}) as response:
        assert response.status == 200
    await llm_socket.create("loadModel", load_order(identifier="by SDK", ttlMs=3_600_000))
    await packets(llm_socket)
    assert await embed(http) == 200
    assert (await chat(http, OTHER_LLM))[0] == 200
    assert (await chat(http, "qwen2.5-vl-7b-instruct"))[0] == 200
    assert identifiers(simulator) == ["by hand", LLM, "by SDK", EMBEDDING, "qwen2.5-vl-7b-instruct"]
    loaded_by = {one.identifier: one.loaded_by for one in simulator.ledger.instances}
    assert loaded_by == {
        "by hand": "hand",
        LLM: "http",
        "by SDK": "sdk",
        EMBEDDING: "jit",
        OTHER_LLM: "jit",
        "qwen2.5-vl-7b-instruct": "jit",
    }


async def test_get_or_load_evicts(simulator: Simulator, http: aiohttp.ClientSession, llm_socket: Socket):
    """It says which instance goes, before the load's progress; what it loads is evicted like any other."""
    assert (await chat(http, LLM))[0] == 200
    [victim] = simulator.memory.instances()
    await llm_socket.create("getOrLoad", {"identifier": OTHER_LLM, "loadConfigStack": {"layers": []}})
    messages = await packets(llm_socket)
    kinds = [message["type"] for message in messages]
    assert kinds[:3] == ["startLoading", "unloadingOtherJITModel", "loadProgress"]
    assert kinds[-1] == "loadSuccess"
    info = messages[1]["info"]
    assert isinstance(info, dict)
    assert (info["modelKey"], info["instanceReference"]) == (LLM, victim.reference)
    assert (await chat(http, LLM))[0] == 200
    assert identifiers(simulator) == [LLM]


@pytest.mark.parametrize("simulator", ["kept"], indirect=True)
async def test_without_auto_evict(simulator: Simulator, http: aiohttp.ClientSession, llm_socket: Socket):
    """Nothing is ever evicted."""
    assert (await chat(http, LLM))[0] == 200
    assert (await chat(http, OTHER_LLM))[0] == 200
    parameter = {"identifier": "qwen2.5-vl-7b-instruct", "loadConfigStack": {"layers": []}}
    await llm_socket.create("getOrLoad", parameter)
    assert "unloadingOtherJITModel" not in [message["type"] for message in await packets(llm_socket)]
    assert identifiers(simulator) == [LLM, OTHER_LLM, "qwen2.5-vl-7b-instruct"]
    assert simulator.ledger.unloads == []


@pytest.mark.parametrize(
    ("simulator", "loaded"),
    [("default", [LLM, f"{LLM}:2", f"{LLM}:3"]), ("joined", [LLM])],
    indirect=["simulator"],
)
async def test_requests_at_once_for_an_unloaded_model(
    simulator: Simulator, http: aiohttp.ClientSession, loaded: list[str]
):
    """Each loads an instance that answers it; with `jit_race=false` all share one."""
    simulator.pace = held = Held()
    requests = [asyncio.create_task(chat(http, LLM)) for _ in range(3)]
    for _ in loaded:
        await asyncio.wait_for(held.waiting.acquire(), PATIENCE_SECONDS)
    held.finish()
    answers = await asyncio.gather(*requests)
    assert [status for status, _ in answers] == [200] * 3
    assert sorted(identifiers(simulator)) == loaded
    for name in loaded:
        assert name in {json.loads(text)["model"] for _, text in answers}
    assert {one.loaded_by for one in simulator.ledger.instances} == {"jit"}


@pytest.mark.parametrize("simulator", ["default", "joined"], indirect=True)
async def test_a_load_goes_on_without_its_client(simulator: Simulator, http: aiohttp.ClientSession):
    """A client that leaves during the load doesn't end it."""
    simulator.pace = gate = Gate(holds="load")
    leaving = asyncio.create_task(chat(http, LLM))
    await asyncio.wait_for(gate.reached.wait(), PATIENCE_SECONDS)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    gate.opened.set()
    assert (await chat(http, LLM))[0] == 200
    assert LLM in identifiers(simulator)
