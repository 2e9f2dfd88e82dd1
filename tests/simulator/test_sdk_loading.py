"""Loading and unloading through the SDK."""

import asyncio

import aiohttp
import lmstudio
import pytest

from lmgateway.simulator import Pace, Simulator
from tests.support.gate import Gate

from .conftest import EMBEDDING, LLM, Socket, load_order, specifier


async def test_a_load_reports_progress(sdk: lmstudio.AsyncClient):
    """Progress rises to 1, and the loaded model bears its key."""
    progress: list[float] = []
    model = await sdk.llm.load_new_instance(LLM, ttl=None, on_load_progress=progress.append)
    assert model.identifier == LLM
    assert progress == sorted(progress)
    assert len(progress) > 5
    assert progress[-1] == 1.0


async def test_the_packets_of_a_load(llm_socket: Socket):
    """resolved, progress …, success, and then the channel closes."""
    await llm_socket.create("loadModel", load_order())
    packets = [await llm_socket.receive()]
    while packets[-1]["type"] != "channelClose":
        packets.append(await llm_socket.receive())
    messages = [packet["message"] for packet in packets[:-1]]
    assert messages[0]["type"] == "resolved"
    assert messages[0]["info"]["modelKey"] == LLM
    assert {message["type"] for message in messages[1:-1]} == {"progress"}
    assert messages[-1]["type"] == "success"
    assert messages[-1]["info"]["identifier"] == LLM


async def test_an_identifier_is_taken_once(sdk: lmstudio.AsyncClient):
    """Loading under an identifier in use fails."""
    await sdk.llm.load_new_instance(LLM, "mine")
    with pytest.raises(lmstudio.LMStudioServerError, match="already in use"):
        await sdk.llm.load_new_instance(LLM, "mine")


async def test_parallel_loads_get_different_identifiers(sdk: lmstudio.AsyncClient):
    """An identifier counts as taken as soon as its load begins."""
    loaded = await asyncio.gather(*(sdk.llm.load_new_instance(LLM) for _ in range(3)))
    assert {model.identifier for model in loaded} == {LLM, f"{LLM}:2", f"{LLM}:3"}


async def test_each_load_has_a_reference_of_its_own(sdk: lmstudio.AsyncClient, llm_socket: Socket):
    """By it a client knows that the instance of a name isn't the one it knew."""
    references = set()
    for _ in range(2):
        model = await sdk.llm.load_new_instance(LLM)
        [listed] = (await llm_socket.call("listLoaded"))["result"]  # type: ignore[misc]
        assert listed["instanceReference"] == (await model.get_info()).instance_reference
        references.add(listed["instanceReference"])
        await model.unload()
    assert len(references) == 2


async def test_applied_settings_are_returned(sdk: lmstudio.AsyncClient):
    """The load config has the requested settings and the defaults."""
    config = {"contextLength": 8192, "flashAttention": False, "gpu": {"ratio": 0.5}}
    model = await sdk.llm.load_new_instance(LLM, config=config)
    applied = await model.get_load_config()
    assert (applied.context_length, applied.flash_attention, applied.gpu.ratio) == (8192, False, 0.5)
    assert applied.eval_batch_size == 2048
    assert await model.get_context_length() == 8192


async def test_a_context_that_does_not_fit_is_shrunk(sdk: lmstudio.AsyncClient):
    """AutoFit is on by default: the loaded context may be smaller than asked for."""
    model = await sdk.llm.load_new_instance(LLM, config={"contextLength": 131072})
    assert (await model.get_load_config()).context_length == 32768
    assert await model.get_context_length() == 32768


async def test_the_settings_that_the_sdk_lacks(llm_socket: Socket):
    """They are raw fields. By default four predictions run at once, on one KV cache."""
    fields = {"llm.load.numParallelSessions": 2, "llm.load.useUnifiedKvCache": False}
    await llm_socket.create(
        "loadModel", load_order(LLM, *({"key": key, "value": value} for key, value in fields.items()))
    )
    while (await llm_socket.receive())["type"] != "channelClose":
        pass
    answer = await llm_socket.call("getLoadConfig", {"specifier": specifier(LLM)})
    applied = {field["key"]: field["value"] for field in answer["result"]["fields"]}
    assert applied == {**applied, **fields}


async def test_default_context_length(sdk: lmstudio.AsyncClient):
    """4096 tokens, or less where the model can't have as many."""
    llm = await sdk.llm.load_new_instance(LLM)
    embedding = await sdk.embedding.load_new_instance(EMBEDDING)
    assert (await llm.get_load_config()).context_length == 4096
    assert (await embedding.get_load_config()).context_length == 2048


async def test_cancelling_a_load(simulator: Simulator, llm_socket: Socket):
    """The channel's cancel packet ends the load with an error, and nothing is loaded."""
    simulator.pace = gate = Gate(holds="load")
    await llm_socket.create("loadModel", load_order())
    assert (await llm_socket.receive())["message"]["type"] == "resolved"
    await asyncio.wait_for(gate.reached.wait(), 5)
    await llm_socket.packet({"type": "cancel"})
    error = await llm_socket.receive()
    assert error["type"] == "channelError"
    assert error["error"]["title"] == "Operation canceled."
    assert (await llm_socket.call("listLoaded"))["result"] == []


async def test_a_load_outlives_the_task_that_awaits_it(simulator: Simulator, sdk: lmstudio.AsyncClient):
    """Cancelling the SDK's call sends nothing, so the model is loaded all the same."""
    simulator.pace = gate = Gate(holds="load")
    call = asyncio.create_task(sdk.llm.load_new_instance(LLM))
    await asyncio.wait_for(gate.reached.wait(), 5)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    gate.opened.set()
    other = await sdk.llm.load_new_instance(LLM)
    assert other.identifier == f"{LLM}:2"
    assert [model.identifier for model in await sdk.llm.list_loaded()] == [LLM, f"{LLM}:2"]


async def test_getting_a_loaded_model_loads_nothing(simulator: Simulator, sdk: lmstudio.AsyncClient):
    """`model()` loads once and returns the instance afterwards."""
    first = await sdk.llm.model(LLM)
    simulator.pace = Gate(holds="load")
    assert (await asyncio.wait_for(sdk.llm.model(LLM), 5)).identifier == first.identifier


async def test_idle_models_leave(simulator: Simulator, llm_socket: Socket):
    """ttlMs after the last use the instance unloads itself."""
    await llm_socket.create("loadModel", load_order(ttlMs=1))
    while (await llm_socket.receive())["type"] != "channelClose":
        pass
    async with asyncio.timeout(5):
        while (await llm_socket.call("listLoaded"))["result"]:
            pass
    assert simulator.memory.instances() == []


@pytest.mark.parametrize("ttl", [0, -1000])
async def test_an_idle_time_below_a_millisecond_waits_for_ever(llm_socket: Socket, ttl: int):
    """A bad ttlMs is answered by a warning without an id; the channel never opens."""
    await llm_socket.create("loadModel", load_order(ttlMs=ttl))
    warning = await llm_socket.receive()
    assert warning["type"] == "communicationWarning"
    assert warning["kind"] == "channelCreationParameterTypeError"


async def test_a_dead_socket_abandons_its_load(simulator: Simulator, http: aiohttp.ClientSession):
    """The identifier of an abandoned load is free again."""
    simulator.pace = gate = Gate(holds="load")
    async with http.ws_connect("/llm") as raw:
        socket = Socket(raw)
        await socket.authenticate()
        await socket.create("loadModel", load_order(identifier="mine"))
        await asyncio.wait_for(gate.reached.wait(), 5)
    simulator.pace = Pace.instant()
    async with http.ws_connect("/llm") as raw:
        socket = Socket(raw)
        await socket.authenticate()
        await socket.create("loadModel", load_order(identifier="mine"))
        assert (await socket.receive())["type"] == "channelSend"
