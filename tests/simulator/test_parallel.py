"""Requests at once: the slots of an instance, and how requests end each other."""

import asyncio

import aiohttp
import pytest

from lmgateway.simulator import Simulator, serve
from tests.support.clock import Clock
from tests.support.gate import Gate
from tests.support.waiting import PATIENCE_SECONDS, until

from .conftest import EMBEDDING, LLM, Socket, ask, load_order
from .simulations import Simulations, statuses
from .test_aborts import fetch


async def test_more_requests_than_slots(simulations: Simulations):
    """Four run and two wait, without a word; all are answered."""
    gate = Gate(holds="token")
    one = await simulations.start(gate)
    requests = [one.ask() for _ in range(6)]
    await one.count(begun=6)
    await until(lambda: one.ledger.total.completion_tokens == 4)
    assert one.state() == {"status": "generating", "queued": 6}
    gate.opened.set()
    assert statuses(await asyncio.gather(*requests)) == [200] * 6
    assert (one.ledger.occupancy.most_running, one.ledger.occupancy.most_queued) == (4, 2)
    assert one.state() == {"status": "idle", "queued": 0}


async def test_embeddings_one_at_a_time(simulations: Simulations):
    """An embedding model has one slot."""
    gate = Gate(holds="prompt")
    one = await simulations.start(gate, EMBEDDING)
    requests = [one.embed() for _ in range(2)]
    await one.count(begun=2)
    assert one.state() == {"status": "computingEmbedding", "queued": 2}
    gate.opened.set()
    assert statuses(await asyncio.gather(*requests)) == [200] * 2
    assert one.ledger.models[EMBEDDING].most_running == 1


@pytest.mark.parametrize(("asked", "parallel"), [([2], 2), ([], 4), ([0], 4)])
async def test_slots_by_a_load_setting(
    simulator: Simulator,
    http: aiohttp.ClientSession,
    llm_socket: Socket,
    asked: list[int],
    parallel: int,
):
    """`llm.load.numParallelSessions` is the number of slots, which `/api/v1/models` shows."""
    fields = [{"key": "llm.load.numParallelSessions", "value": value} for value in asked]
    await llm_socket.create("loadModel", load_order(LLM, *fields))
    while (await llm_socket.receive())["type"] != "channelClose":
        pass
    async with http.get("/api/v1/models") as response:
        [model] = [one for one in (await response.json())["models"] if one["loaded_instances"]]
    assert model["loaded_instances"][0]["config"]["parallel"] == parallel
    assert simulator.memory.instances()[0].slots.count == parallel


async def test_default_load_settings(simulator: Simulator):
    """Those of LM Studio's schema."""
    settings = simulator.load(LLM).settings
    assert settings["llm.load.numParallelSessions"] == 4
    assert settings["llm.load.useUnifiedKvCache"] is True
    assert settings["llm.load.llama.evalBatchSize"] == 2048
    assert settings["llm.load.llama.physicalBatchSize"] == 512
    assert settings["llm.load.llama.autoFit"] is True


async def test_leaving_the_queue(simulations: Simulations):
    """A client that leaves while it waits doesn't wait for a slot any more."""
    gate = Gate(holds="token")
    one = await simulations.start(gate, parallel=1)
    running = one.ask()
    await asyncio.wait_for(gate.reached.wait(), PATIENCE_SECONDS)
    waiting = one.ask()
    await one.count(begun=2)
    waiting.cancel()
    await one.count(aborted=1)
    assert one.state() == {"status": "generating", "queued": 1}
    gate.opened.set()
    assert (await running)[0] == 200
    assert one.ledger.occupancy.most_running == 1


@pytest.mark.parametrize("stream", [True, False])
async def test_a_prompt_outlives_its_client(simulations: Simulations, stream: bool):
    """It holds its slot until it is processed, and not one token is generated."""
    gate = Gate(holds="prompt")
    one = await simulations.start(gate, parallel=1)
    leaving = one.ask(stream=stream)
    await asyncio.wait_for(gate.reached.wait(), PATIENCE_SECONDS)
    leaving.cancel()
    await one.count(left=1)
    next_in_line = one.ask()
    await one.count(begun=2)
    assert one.ledger.total.aborted == 0
    assert one.state() == {"status": "processingPrompt", "queued": 2}
    gate.opened.set()
    await one.count(aborted=1)
    assert one.ledger.total.prompt_tokens > 0
    assert one.ledger.total.completion_tokens == 0
    [abort] = one.ledger.aborts
    assert abort.left_at < abort.at
    assert (await next_in_line)[0] == 200


async def test_closing_ends_a_prompt_without_a_client():
    """A simulator that ends leaves no task and no slot behind."""
    simulator = Simulator(pace=Gate(holds="prompt"))
    instance = simulator.load(LLM)
    async with (
        serve(simulator, "127.0.0.1", 0) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
    ):
        request = asyncio.create_task(fetch(http, "/v1/chat/completions", ask(stream=True)))
        await until(lambda: instance.processing_state()["queued"])
        request.cancel()
        await asyncio.wait_for(simulator.ledger.wait(left=1), PATIENCE_SECONDS)
    assert simulator.ledger.total.aborted == 1
    assert instance.processing_state() == {"status": "idle", "queued": 0}


async def test_unloading_ends_the_wait_for_a_slot(simulations: Simulations):
    """A request that waits fails at once, though the one that runs is busy."""
    gate = Gate(holds="token")
    one = await simulations.start(gate, parallel=1)
    running = one.ask()
    await asyncio.wait_for(gate.reached.wait(), PATIENCE_SECONDS)
    waiting = one.ask()
    await one.count(begun=2)
    one.simulator.memory.unload(LLM)
    status, text = await asyncio.wait_for(waiting, PATIENCE_SECONDS)
    assert (status, "Model unloaded." in text) == (400, True)
    assert not running.done()
    [unload] = one.ledger.unloads
    assert (unload.identifier, unload.reason, unload.busy, unload.queued) == (LLM, "asked", 1, 1)
    gate.opened.set()
    assert (await running)[0] == 400


async def test_a_full_unified_cache(simulations: Simulations):
    """Two requests that overfill the context together both fail, and the model stays loaded."""
    gate = Gate(holds="token")
    one = await simulations.start(gate)
    words = "word " * 2500
    first = one.ask(words)
    await asyncio.wait_for(gate.reached.wait(), PATIENCE_SECONDS)
    second = one.ask(words)
    status, text = await asyncio.wait_for(second, PATIENCE_SECONDS)
    gate.opened.set()
    assert statuses([await first, (status, text)]) == [400, 400]
    assert "Channel Error" in text
    assert one.instance.loaded
    assert (await one.ask(words))[0] == 200


async def test_a_cache_for_each_slot(simulations: Simulations):
    """Without a unified cache, requests that would overfill it together are all answered."""
    gate = Gate(holds="token")
    one = await simulations.start(gate, unified_kv_cache=False)
    requests = [one.ask("word " * 2500) for _ in range(2)]
    await until(lambda: one.ledger.total.completion_tokens == 2)
    gate.opened.set()
    assert statuses(await asyncio.gather(*requests)) == [200, 200]


async def test_a_busy_instance_does_not_idle(
    simulator: Simulator, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
):
    """The end of one of two requests doesn't begin its idle time; the end of the last does."""
    clock = Clock(monkeypatch)
    instance = await simulator.instance_for(LLM, "llm", ttl_seconds=100)
    simulator.pace = gate = Gate(holds="token")
    async with http.post("/v1/chat/completions", json=ask(stream=True)):
        await asyncio.wait_for(gate.reached.wait(), PATIENCE_SECONDS)
        async with http.post("/v1/chat/completions", json=ask(max_tokens=1)) as short:
            assert short.status == 200
        await clock.pass_seconds(1000)
        assert instance.loaded
    await asyncio.wait_for(simulator.ledger.wait(aborted=1), PATIENCE_SECONDS)
    await clock.pass_seconds(1000)
    assert not instance.loaded
    assert [(unload.reason, unload.busy) for unload in simulator.ledger.unloads] == [("idle", 0)]


async def test_two_at_once_may_crash_a_model(simulations: Simulations):
    """With `crash_on_two` the second request ends the instance and both requests."""
    gate = Gate(holds="token")
    one = await simulations.start(gate, crash_on_two=True)
    assert (await asyncio.wait_for(one.ask(max_tokens=1), PATIENCE_SECONDS))[0] == 200
    first = one.ask(max_tokens=3)
    await asyncio.wait_for(gate.reached.wait(), PATIENCE_SECONDS)
    second = await asyncio.wait_for(one.ask(), PATIENCE_SECONDS)
    gate.opened.set()
    for status, text in (second, await first):
        assert status >= 400
        assert "The model has crashed without additional information. (Exit code: null)" in text
    assert one.simulator.memory.instances() == []
    assert [unload.reason for unload in one.ledger.unloads] == ["crashed"]
