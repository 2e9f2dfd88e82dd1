"""Loads that fail or hang as a test wants it, and what the ledger has of them."""

import asyncio

import aiohttp
import lmstudio
import pytest

from lmgateway.simulator import Ledger, Pace, Simulator
from lmgateway.simulator.engine.faults import LoadCancelled
from lmgateway.simulator.engine.load_faults import CRASH
from lmgateway.simulator.engine.load_records import Load
from tests.support.waiting import PATIENCE_SECONDS

from .conftest import LLM, OTHER_LLM, Socket, ask, load_order, load_slowly


async def test_the_next_loads_of_one_model_fail(simulator: Simulator, sdk: lmstudio.AsyncClient):
    """So many times, in the words given; other models load."""
    simulator.load_faults.fail(LLM, times=2, cause="It is broken.")
    for _ in range(2):
        with pytest.raises(lmstudio.LMStudioServerError, match="It is broken"):
            await sdk.llm.load_new_instance(LLM)
        await sdk.llm.load_new_instance(OTHER_LLM)
    await sdk.llm.load_new_instance(LLM)
    assert [(one.model, one.outcome) for one in simulator.ledger.loads] == [
        (LLM, "failed"),
        (OTHER_LLM, "loaded"),
        (LLM, "failed"),
        (OTHER_LLM, "loaded"),
        (LLM, "loaded"),
    ]


async def test_every_load_fails(simulator: Simulator, http: aiohttp.ClientSession):
    """Until it is cleared. A request for the model gets the reason."""
    simulator.load_faults.fail()
    for model in (LLM, OTHER_LLM):
        async with http.post("/v1/chat/completions", json={**ask(), "model": model}) as response:
            error = (await response.json())["error"]
        assert (response.status, error["message"]) == (400, f'Failed to load model "{model}". Error: {CRASH}')
    simulator.load_faults.clear()
    async with http.post("/v1/chat/completions", json=ask()) as response:
        assert response.status == 200


async def test_a_load_hangs_without_progress(simulator: Simulator, llm_socket: Socket):
    """Until its client cancels it."""
    hang = simulator.load_faults.hang(LLM, at=0)
    await llm_socket.create("loadModel", load_order())
    assert (await llm_socket.receive())["message"]["type"] == "resolved"  # type: ignore[index]
    await asyncio.wait_for(hang.reached.wait(), PATIENCE_SECONDS)
    await llm_socket.packet({"type": "cancel"})
    error = await llm_socket.receive()
    assert error["type"] == "channelError", "there was progress"
    [load] = simulator.ledger.loads
    assert (load.outcome, load.loaded_by) == ("cancelled", "sdk")


@pytest.mark.parametrize(("error", "outcome"), [(None, "loaded"), (LoadCancelled, "cancelled")])
async def test_a_hanging_load_is_released(
    simulator: Simulator, error: type[LoadCancelled] | None, outcome: str
):
    """It goes on, or its user has cancelled it."""
    hang = simulator.load_faults.hang()
    loading = asyncio.create_task(load_slowly(simulator, LLM))
    await asyncio.wait_for(hang.reached.wait(), PATIENCE_SECONDS)
    assert simulator.ledger.loads[0].outcome == "loading"
    hang.release(error)
    await asyncio.gather(loading, return_exceptions=True)
    assert simulator.ledger.loads[0].outcome == outcome


async def test_models_of_different_load_times(simulator: Simulator):
    """A pace may have the seconds of single models."""
    slept: dict[str, float] = {}

    class Counting(Pace):
        async def load(self, fraction: float, model_key: str) -> None:
            seconds = self.load_seconds(model_key) / 20
            slept[model_key] = slept.get(model_key, 0.0) + seconds

    simulator.pace = Counting(load_seconds=4, model_load_seconds={OTHER_LLM: 10})
    for model in (LLM, OTHER_LLM):
        await load_slowly(simulator, model)
    assert slept == pytest.approx({LLM: 4, OTHER_LLM: 10})


def test_time_spent_in_loads():
    """Loads at once count once, one in progress up to now, and only from the time asked for."""
    ledger = Ledger()
    spans = [(1, 3), (2, 5), (2.5, 4), (10, 11)]
    ledger.loads = [Load("m", "m", "sdk", began, ended) for began, ended in spans]
    assert ledger.loading_seconds() == 4 + 1
    assert ledger.loading_seconds(since=4) == 1 + 1
    assert ledger.loading_seconds(since=10.5) == 0.5
