"""The error objects of the SDK's protocol."""

import lmstudio
import pytest

from lmgateway.simulator import Simulator
from lmgateway.simulator.engine.switches import Switches

from .conftest import EMBEDDING, LLM, Socket, load_order


async def refusal(work) -> dict[str, object]:
    with pytest.raises(lmstudio.LMStudioServerError) as caught:
        await work
    error = caught.value.server_error
    assert error.root_title == error.title
    return error


async def test_an_unknown_model(sdk: lmstudio.AsyncClient):
    """generic.pathNotFound quotes models that there are."""
    error = await refusal(sdk.llm.load_new_instance("nope"))
    assert error.display_data["code"] == "generic.pathNotFound"
    assert error.display_data["path"] == "nope"
    assert LLM in error.display_data["availablePathsSample"]
    assert error.display_data["totalModels"] == 6


async def test_an_unknown_instance(simulator: Simulator, sdk: lmstudio.AsyncClient):
    """generic.identifierNotFound quotes what is loaded."""
    simulator.load(LLM)
    error = await refusal(sdk.llm.unload("nope"))
    assert error.display_data == {
        "code": "generic.identifierNotFound",
        "identifier": "nope",
        "loadedModelsSample": [LLM],
        "totalLoadedModels": 1,
    }


async def test_no_instance_matches(sdk: lmstudio.AsyncClient):
    """generic.noModelMatchingQuery repeats the query."""
    error = await refusal(sdk.llm.get_model_info("nope"))
    assert error.display_data["code"] == "generic.noModelMatchingQuery"
    assert error.display_data["query"] == {"identifier": "nope"}


async def test_an_instance_that_has_left(simulator: Simulator, sdk: lmstudio.AsyncClient):
    """A reference means one instance, never its successor."""
    reference = simulator.load(LLM).reference
    await sdk.llm.unload(LLM)
    simulator.load(LLM)
    pointer = {"type": "instanceReference", "instanceReference": reference}
    error = await refusal(sdk.llm.get_model_info(pointer))
    assert error.display_data == {"code": "generic.specificModelUnloaded"}


async def test_the_wrong_kind_of_model(simulator: Simulator, sdk: lmstudio.AsyncClient):
    """generic.domainMismatch, for a model on disk as for one in memory."""
    error = await refusal(sdk.llm.load_new_instance(EMBEDDING))
    assert error.display_data["code"] == "generic.domainMismatch"
    assert error.display_data["actualDomain"] == "embedding"
    assert error.display_data["expectedDomain"] == "llm"
    simulator.load(LLM)
    error = await refusal(sdk.embedding.unload(LLM))
    assert error.display_data["code"] == "generic.domainMismatch"


async def test_out_of_memory(simulator: Simulator, sdk: lmstudio.AsyncClient):
    """Without AutoFit, too long a context exhausts the memory: no code, and the reason is in the cause."""
    simulator.switches = Switches(auto_fit=False)
    error = await refusal(sdk.llm.load_new_instance(LLM, config={"contextLength": 32769}))
    assert error.title == "Failed to load model"
    assert "resources" in error.cause
    assert error.display_data is None


async def test_memory_runs_out_half_way(simulator: Simulator, llm_socket: Socket):
    """Such a load has shown progress before it fails."""
    simulator.switches = Switches(auto_fit=False)
    field = {"key": "llm.load.contextLength", "value": 1_000_000}
    await llm_socket.create("loadModel", load_order(LLM, field))
    assert (await llm_socket.receive())["message"]["type"] == "resolved"
    assert (await llm_socket.receive())["message"]["type"] == "progress"
    while (last := await llm_socket.receive())["type"] == "channelSend":
        pass
    assert last["type"] == "channelError"
