"""The SDK's view of models on disk and in memory."""

import aiohttp
import lmstudio

from lmgateway.simulator import Simulator

from .conftest import EMBEDDING, LLM, MLX, OTHER_LLM, Socket, specifier


async def test_models_on_disk_are_listed(unchanged_sdk: lmstudio.AsyncClient):
    """The SDK's typed listing knows every model, two LLMs, one that sees, and one for embeddings."""
    models = await unchanged_sdk.list_downloaded_models()
    assert [model.type for model in models] == ["llm", "llm", "llm", "embedding", "llm", "llm"]
    assert models[0].model_key == LLM
    assert models[0].path != LLM
    assert [model.info.vision for model in models[:3]] == [False, False, True]
    assert [model.info.trained_for_tool_use for model in models[:3]] == [True, False, False]


async def test_raw_listing_says_more(sdk: lmstudio.AsyncClient):
    """The raw listing has the fields which the SDK's structs leave out."""
    listed = await sdk.system.remote_call("listDownloadedModels")
    assert listed[0]["publisher"] == "lmstudio-community"
    assert listed[0]["quantization"] == {"name": "Q4_K_M", "bits": 4}
    assert "vision" not in listed[3]


async def test_the_schemas_newest_fields(simulator: Simulator, sdk: lmstudio.AsyncClient):
    """npm's @lmstudio/sdk 2.0.0 never returns from a call whose result lacks one of these."""
    simulator.load(LLM)
    downloaded = await sdk.system.remote_call("listDownloadedModels")
    for model in [*downloaded, *await sdk.llm.remote_call("listLoaded")]:
        assert model["indexedModelIdentifier"] == model["path"]
        assert model["deviceIdentifier"] is None


async def test_an_mlx_model_has_two_formats(
    simulator: Simulator, http: aiohttp.ClientSession, sdk: lmstudio.AsyncClient
):
    """It is `safetensors` for the SDK, and `mlx` over HTTP."""
    simulator.catalogue.add(MLX)
    listed = await sdk.system.remote_call("listDownloadedModels")
    assert [model["format"] for model in listed if model["modelKey"] == MLX["modelKey"]] == ["safetensors"]
    async with http.get(f"/api/v0/models/{MLX['modelKey']}") as response:
        assert (await response.json())["compatibility_type"] == "mlx"
    async with http.get("/api/v1/models") as response:
        formats = {model["key"]: model["format"] for model in (await response.json())["models"]}
    assert (formats[MLX["modelKey"]], formats[LLM]) == ("mlx", "gguf")


async def test_the_variants_of_a_model(simulator: Simulator, http: aiohttp.ClientSession):
    """One entry each, under its own key."""
    simulator.catalogue.add({"modelKey": "gemma", "variants": ["gemma@q4_k_m", "gemma@q8_0"]})
    async with http.ws_connect("/system") as raw:
        socket = Socket(raw)
        await socket.authenticate()
        answer = await socket.call("listDownloadedModelVariants", {"modelKey": "gemma"})
    assert [model["modelKey"] for model in answer["result"]] == ["gemma@q4_k_m", "gemma@q8_0"]


async def test_loaded_models_are_listed_by_kind(simulator: Simulator, sdk: lmstudio.AsyncClient):
    """Each namespace lists its own kind only, by identifier."""
    simulator.load(LLM, "mine")
    simulator.load(EMBEDDING)
    assert [model.identifier for model in await sdk.llm.list_loaded()] == ["mine"]
    assert [model.identifier for model in await sdk.embedding.list_loaded()] == [EMBEDDING]


async def test_instances_are_described(simulator: Simulator, sdk: lmstudio.AsyncClient):
    """An instance is its model plus identifier, reference, context length and idle time."""
    simulator.load(LLM, "mine")
    info = await sdk.llm.get_model_info("mine")
    assert (info.identifier, info.model_key, info.context_length) == ("mine", LLM, 4096)
    raw = (await sdk.llm.remote_call("listLoaded"))[0]
    assert raw["ttlMs"] is None
    assert raw["instanceReference"] == info.instance_reference


async def test_asking_for_a_stranger_may_be_harmless(llm_socket: Socket):
    """With throwIfNotFound false an unknown instance is a result without "result"."""
    answer = await llm_socket.call("getModelInfo", {"specifier": specifier("x"), "throwIfNotFound": False})
    assert answer == {"type": "rpcResult", "callId": 1}


async def test_version_and_info(sdk: lmstudio.AsyncClient):
    """The system namespace introduces itself."""
    assert set(await sdk.system.remote_call("version")) == {"version", "build"}
    assert set(await sdk.system.remote_call("info")) == {"pid", "isDaemon", "version"}


async def test_idle_state_and_estimate(simulator: Simulator, llm_socket: Socket):
    """The two calls that the Python SDK has no method for are answered in the schema's shape."""
    simulator.load(LLM)
    parameter = {"specifier": specifier(LLM), "throwIfNotFound": True}
    state = await llm_socket.call("getInstanceProcessingState", parameter)
    assert state["result"] == {"status": "idle", "queued": 0}
    estimate = await llm_socket.call(
        "estimateModelUsage", {"modelKey": OTHER_LLM, "loadConfigStack": {"layers": []}}
    )
    memory = estimate["result"]["memory"]
    assert memory["totalBytes"] == memory["modelBytes"] + memory["contextBytes"]
    assert estimate["result"]["passesGuardrails"] is True


async def test_pointing_at_an_instance(simulator: Simulator, llm_socket: Socket):
    """By reference or path; instances of the other namespace are of the wrong kind."""
    llm, embedding = simulator.load(LLM), simulator.load(EMBEDDING)
    for pointer, code in (
        ({"type": "instanceReference", "instanceReference": llm.reference}, None),
        ({"type": "query", "query": {"path": LLM, "vision": False}}, None),
        ({"type": "query", "query": {}}, None),
        ({"type": "query", "query": {"vision": True}}, "generic.noModelMatchingQuery"),
        ({"type": "instanceReference", "instanceReference": embedding.reference}, "generic.domainMismatch"),
    ):
        answer = await llm_socket.call("getModelInfo", {"specifier": pointer, "throwIfNotFound": True})
        if code is None:
            assert answer["result"]["identifier"] == LLM
        else:
            assert answer["error"]["displayData"]["code"] == code
