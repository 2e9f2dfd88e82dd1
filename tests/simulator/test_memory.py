"""Loads that exceed the memory, and memory that is free later than its model is gone."""

import asyncio

import aiohttp
import lmstudio
import pytest

from lmgateway.simulator import Pace, Simulator, Switches
from lmgateway.simulator.engine.faults import GuardrailRefusal, LoadFailed
from tests.support.gate import Gate
from tests.support.waiting import PATIENCE_SECONDS

from .conftest import LLM, OTHER_LLM, Socket, ask, load_order, load_slowly

SIZES = {LLM: 4_683_073_184, OTHER_LLM: 2_019_377_440}
# One byte too few for both.
MEMORY = sum(SIZES.values()) - 1
REFUSAL = (
    "Model loading was stopped due to insufficient system resources. Under the current settings, this model "
    "requires approximately 2.02 GB of memory, and continuing to load it would likely overload your system "
    "and cause it to freeze. If you think this is incorrect, you can adjust the model loading guardrails in "
    "settings."
)
ENGINE = "error loading model: unable to allocate CUDA0 buffer"


@pytest.fixture(params=[True, False], ids=["guardrail", "engine"])
def guardrail(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def simulator(guardrail: bool) -> Simulator:
    return full(guardrail=guardrail)


def full(**switches: object) -> Simulator:
    """Return a simulator with a model in memory, and too little room for the other one."""
    simulator = Simulator(pace=Pace.instant(), switches=Switches(memory_bytes=MEMORY, **switches))  # type: ignore[arg-type]
    simulator.load(LLM)
    return simulator


async def progress_and_error(socket: Socket, model: str = OTHER_LLM) -> tuple[list[object], object]:
    """Load a model, and return the reported progress and the error that ends it."""
    await socket.create("loadModel", load_order(model))
    assert (await socket.receive())["message"]["type"] == "resolved"  # type: ignore[index]
    progress: list[object] = []
    while (packet := await socket.receive())["type"] == "channelSend":
        progress.append(packet["message"]["progress"])  # type: ignore[index]
    return progress, packet["error"]


async def test_the_sdk_gets_no_code(llm_socket: Socket, guardrail: bool):
    """The guardrail refuses before the load begins: its sentence is the title. An engine gives a cause."""
    progress, error = await progress_and_error(llm_socket)
    if guardrail:
        assert progress == []
        assert error == {"title": REFUSAL, "rootTitle": REFUSAL}
    else:
        assert progress[-1] == 0.45
        title = "Failed to load model"
        assert error == {"title": title, "rootTitle": title, "cause": ENGINE}


async def test_a_request_for_the_model(simulator: Simulator, http: aiohttp.ClientSession, guardrail: bool):
    """400, in LM Studio's words for a model that it loads just in time. A model loaded by hand stays."""
    async with http.post("/v1/chat/completions", json={**ask(), "model": OTHER_LLM}) as response:
        answer = await response.json()
    assert response.status == 400
    reason = REFUSAL if guardrail else ENGINE
    assert answer["error"]["message"] == f'Failed to load model "{OTHER_LLM}". Error: {reason}'
    assert [one.identifier for one in simulator.memory.instances()] == [LLM]


async def test_a_load_by_rest(http: aiohttp.ClientSession, guardrail: bool):
    async with http.post("/api/v1/models/load", json={"model": OTHER_LLM}) as response:
        answer = await response.json()
    assert response.status == 500
    assert answer["error"]["type"] == "model_load_failed"
    reason = REFUSAL if guardrail else ENGINE
    assert answer["error"]["message"] == f"Failed to load LLM '{OTHER_LLM}': Error: {reason}"


async def test_memory_that_is_free_again(simulator: Simulator, sdk: lmstudio.AsyncClient):
    """After an unload, after a load that was cancelled, and after one that failed."""
    simulator.load_faults.fail(OTHER_LLM, times=1, at=1)
    await sdk.llm.unload(LLM)
    with pytest.raises(lmstudio.LMStudioServerError):
        await sdk.llm.load_new_instance(OTHER_LLM)
    simulator.pace = gate = Gate(holds="load", load_from=0.9)
    loading = asyncio.create_task(load_slowly(simulator, OTHER_LLM))
    await asyncio.wait_for(gate.reached.wait(), PATIENCE_SECONDS)
    assert simulator.memory.room.taken_bytes == SIZES[OTHER_LLM]
    loading.cancel()
    await asyncio.gather(loading, return_exceptions=True)
    assert simulator.memory.room.taken_bytes == 0
    simulator.load(LLM)
    assert simulator.memory.room.taken_bytes == SIZES[LLM]


async def test_other_programs_take_memory(simulator: Simulator):
    """A game that begins leaves no room for what fitted before."""
    simulator.memory.unload(LLM)
    simulator.memory.room.others_bytes = MEMORY
    with pytest.raises(LoadFailed):
        simulator.load(OTHER_LLM)


async def test_memory_comes_back_late():
    """The model is gone from the lists at once, and its memory later."""
    simulator = full(memory_lag_seconds=3600)
    returned = asyncio.Event()

    class Later(Pace):
        async def free(self, seconds: float) -> None:
            assert seconds == 3600
            await returned.wait()

    simulator.pace = Later.instant()
    await simulator.unload(LLM, by="hand")
    assert simulator.memory.instances() == []
    with pytest.raises(GuardrailRefusal):
        simulator.load(OTHER_LLM)
    returned.set()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while simulator.memory.room.taken_bytes:
            await asyncio.sleep(0)
    simulator.load(OTHER_LLM)
    await simulator.close()


async def test_a_slow_unload(simulator: Simulator, http: aiohttp.ClientSession, llm_socket: Socket):
    """Until it ends the model is listed, serves nobody, and has its memory and its identifier."""
    simulator.pace = gate = Gate(holds="unload")
    unloading = asyncio.create_task(http.post("/api/v1/models/unload", json={"instance_id": LLM}))
    await asyncio.wait_for(gate.reached.wait(), PATIENCE_SECONDS)
    [listed] = (await llm_socket.call("listLoaded"))["result"]  # type: ignore[misc]
    assert listed["identifier"] == LLM
    async with http.post("/v1/chat/completions", json=ask()) as response:
        assert (response.status, "Model unloaded" in await response.text()) == (400, True)
    assert simulator.memory.room.taken_bytes == SIZES[LLM]
    error = await llm_socket.call("unloadModel", {"identifier": LLM})
    assert error["error"]["displayData"]["code"] == "generic.identifierNotFound"  # type: ignore[index]
    gate.opened.set()
    async with await unloading as response:
        assert response.status == 200
    assert (await llm_socket.call("listLoaded"))["result"] == []
    assert simulator.memory.room.taken_bytes == 0
    [unload] = simulator.ledger.unloads
    assert (unload.unloaded_by, unload.loaded_by) == ("http", "hand")
