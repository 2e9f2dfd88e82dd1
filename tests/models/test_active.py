"""Which models are active, and how they become so."""

from __future__ import annotations

import pytest

from lmgateway.simulator import Pace, Simulator, switches
from tests.conftest import StartGateway
from tests.support.home import QUICK, Home
from tests.support.studio import running_studio
from tests.support.upstream import ScriptedUpstream

LLM, OTHER, EMBEDDING = "qwen2.5-7b-instruct", "llama-3.2-3b-instruct", "text-embedding-nomic-embed-text-v1.5"


async def test_embedding_model_is_active_for_embeddings_only(home: Home) -> None:
    """Loading an embedding model leaves the chat model alone, and unloading it too."""
    await home.post("load", modelKey=LLM)
    status, answer = await home.post("load", modelKey=EMBEDDING)
    assert (status, answer["status"]) == (200, "loaded")
    _, active = await home.get("/admin/models/active")
    assert (active["activeModel"]["modelKey"], active["activeEmbeddingModel"]["modelKey"]) == (LLM, EMBEDDING)
    await home.post("unload", modelKey=EMBEDDING)
    _, active = await home.get("/admin/models/active")
    assert (active["activeModel"]["modelKey"], active["activeEmbeddingModel"]) == (LLM, None)


async def test_second_instance_is_the_one_that_answers(home: Home) -> None:
    """An instance that LM Studio had to name itself is active by that name, until it goes."""
    await home.post("load", modelKey=LLM)
    await home.post("load", modelKey=LLM, another=True)
    _, active = await home.get("/admin/models/active")
    assert active["activeModel"]["instanceId"] == f"{LLM}:2"
    await home.post("unload", modelKey=LLM, instanceId=LLM)
    assert (await home.get("/admin/models/active"))[1] == active
    await home.post("unload", modelKey=LLM, instanceId=f"{LLM}:2")
    assert (await home.get("/admin/models/active"))[1]["activeModel"] is None


async def test_the_named_instance_is_active_and_no_other(home: Home) -> None:
    """Also where its name is its model's key, which other instances share."""
    await home.post("load", modelKey=LLM, instanceId=LLM)
    await home.post("load", modelKey=LLM, another=True, activate=False)
    _, listed = await home.get("/admin/models")
    assert {model["identifier"]: model["active"] for model in listed["loaded"]} == {
        LLM: True,
        f"{LLM}:2": False,
    }
    await home.post("unload", modelKey=LLM, instanceId=LLM)
    assert (await home.get("/admin/models/active"))[1]["activeModel"] is None


async def test_one_of_several_copies_is_active(home: Home) -> None:
    """The one whose identifier is the name in requests; without such a one, any of them."""
    for instance_id in (None, "a", "b"):
        await home.post("load", modelKey=LLM, instanceId=instance_id, activate=False)
    await home.post("activate", modelKey=LLM)
    for gone, active in (("nobody", {LLM}), (LLM, {"a", "b"})):
        await home.post("unload", modelKey=LLM, instanceId=gone)
        _, listed = await home.get("/admin/models")
        assert {model["identifier"] for model in listed["loaded"] if model["active"]} == active


async def test_a_name_that_lm_studio_does_not_have_is_refused(home: Home) -> None:
    """With the nearest names; what was active stays so. A model that isn't loaded is no mistake."""
    await home.post("activate", modelKey=LLM)
    status, answer = await home.post("activate", modelKey="qwen2.5-7b")
    assert (status, answer["details"]["near"][0]) == (404, LLM)
    assert f"LM Studio has no model qwen2.5-7b. The nearest on its disk: {LLM}" in answer["error"]
    assert '"force": true' in answer["error"]
    assert (await home.get("/admin/models/active"))[1]["activeModel"]["modelKey"] == LLM
    assert (await home.post("activate", modelKey="qwen2.5-7b", type="llm"))[0] == 404


async def test_a_name_that_lm_studio_does_not_have_is_forced(home: Home) -> None:
    """The model may be downloaded later."""
    status, answer = await home.post("activate", modelKey="soon", force=True)
    message = "soon is now the active model, but LM Studio has no model of that name."
    assert (status, answer["message"]) == (200, message)
    assert (await home.get("/admin/models/active"))[1]["activeModel"]["modelKey"] == "soon"


async def test_what_counts_as_a_name(start_gateway: StartGateway) -> None:
    """A key, a path, a variant, an identifier in memory, an alias; a new model as soon as it is on disk."""
    names = {"variants": ["a/b@q4_k_m", "a/b@q8_0"], "selectedVariant": "a/b@q8_0"}
    simulator = Simulator(pace=Pace.instant(), extra_models=[{"modelKey": "a/b", **names}])
    async with running_studio(simulator) as studio:
        tables = {LLM: {"aliases": ["assistant"]}}
        home = Home(await start_gateway(studio.base_url, lmstudio=QUICK, models=tables), studio)
        studio.simulator.load(LLM, "mine")
        path = (await home.get("/admin/models"))[1]["loaded"][0]["path"]
        for name in (LLM, OTHER, path, "a/b@q4_k_m", "mine", "assistant"):
            assert (await home.post("activate", modelKey=name))[0] == 200, name
        assert (await home.post("activate", modelKey="new"))[0] == 404
        studio.simulator.catalogue.add({"modelKey": "new"})
        assert (await home.post("activate", modelKey="new"))[0] == 200


async def test_the_instance_need_not_be_loaded(home: Home) -> None:
    """It may be loaded under that name later; the model must exist."""
    assert (await home.post("activate", modelKey=LLM, instanceId="later"))[0] == 200
    assert (await home.post("activate", modelKey="none", instanceId="later"))[0] == 404


@pytest.mark.parametrize(
    ("is_managed", "message"),
    [(True, ", and is loaded for the first request that needs it."), (False, ", but isn't loaded: load it")],
)
async def test_activating_a_model_on_disk_says_when_it_is_loaded(
    start_gateway: StartGateway, is_managed: bool, message: str
) -> None:
    """By the gateway, if that decides what is in memory."""
    async with running_studio(Simulator(pace=Pace.instant())) as studio:
        residency = {"enabled": is_managed}
        home = Home(await start_gateway(studio.base_url, lmstudio=QUICK, residency=residency), studio)
        assert message in (await home.post("activate", modelKey=OTHER))[1]["message"]


@pytest.mark.parametrize("has_sdk", [True, False])
async def test_without_just_in_time_loading_the_disk_is_listed_by_the_sdk(
    start_gateway: StartGateway, has_sdk: bool
) -> None:
    """LM Studio's HTTP lists have only what is loaded, so a missing name means nothing without the SDK."""
    simulator = Simulator(pace=Pace.instant(), switches=switches.parse(["jit=false"]))
    async with running_studio(simulator) as studio:
        home = Home(await start_gateway(studio.base_url, lmstudio=QUICK), studio)
        simulator.load(LLM)
        if not has_sdk:
            studio.door.close("sdk")
        assert (await home.post("activate", modelKey=OTHER))[0] == 200
        assert (await home.post("activate", modelKey="none"))[0] == (404 if has_sdk else 200)


async def test_any_name_is_activated_while_lm_studio_cannot_be_asked(home: Home) -> None:
    """A change of the settings doesn't wait until LM Studio runs again."""
    await home.studio.stop()
    status, answer = await home.post("activate", modelKey="none")
    sentence = "none is now the active model, but LM Studio doesn't say whether it has that model."
    assert (status, answer["message"]) == (200, sentence)


async def test_a_server_that_lists_no_models_refuses_no_name(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """It may be another one than LM Studio."""
    gateway = await start_gateway(upstream.base_url, lmstudio=QUICK)
    url = gateway.url("/admin/models/activate")
    async with gateway.client.post(url, json={"modelKey": "none"}) as response:
        assert response.status == 200


async def test_active_by_its_path(home: Home) -> None:
    """The list marks the active model by whichever name it was activated."""
    await home.post("load", modelKey=LLM, activate=False)
    (model,) = (await home.get("/admin/models"))[1]["loaded"]
    await home.post("activate", modelKey=model["path"])
    (model,) = (await home.get("/admin/models"))[1]["loaded"]
    assert model["active"]


async def test_an_active_embedding_model_stays_one_without_lm_studio(home: Home) -> None:
    """Activating it again with other parameters replaces no chat model."""
    await home.post("activate", modelKey=LLM)
    await home.post("activate", modelKey="nomic-alone", type="embedding", force=True)
    await home.studio.stop()
    assert (await home.post("activate", modelKey="nomic-alone"))[0] == 200
    _, active = await home.get("/admin/models/active")
    assert active["activeModel"]["modelKey"] == LLM
    # LM Studio names them all like this.
    assert (await home.post("activate", modelKey=EMBEDDING))[0] == 200
    _, active = await home.get("/admin/models/active")
    assert (active["activeModel"]["modelKey"], active["activeEmbeddingModel"]["modelKey"]) == (LLM, EMBEDDING)


async def test_activation_asks_what_kind_it_is(home: Home) -> None:
    """An embedding model that is only activated is active for embeddings, not chats."""
    await home.post("activate", modelKey=EMBEDDING)
    status, answer = await home.post(
        "activate", modelKey=LLM, defaultInference={"temperature": 0.5, "topK": None}
    )
    assert (status, answer["defaultInference"]) == (200, {"temperature": 0.5})
    _, active = await home.get("/admin/models/active")
    assert (active["activeModel"]["modelKey"], active["activeEmbeddingModel"]["modelKey"]) == (LLM, EMBEDDING)
    _, active = await home.post("deactivate", type="llm")
    assert (active["activeModel"], active["activeEmbeddingModel"]["modelKey"]) == (None, EMBEDDING)
    _, active = await home.post("deactivate")
    assert active == {"activeModel": None, "activeEmbeddingModel": None}


async def test_active_models_survive_a_restart(home: Home, start_gateway: StartGateway) -> None:
    """With their parameters."""
    await home.post(
        "activate", modelKey=LLM, instanceId="x", defaultInference={"stopStrings": ["a"], "stream": True}
    )
    await home.post("activate", modelKey=EMBEDDING, type="embedding")
    _, before = await home.get("/admin/models/active")
    again = Home(await start_gateway(home.studio.base_url), home.studio)
    assert (await again.get("/admin/models/active"))[1] == before
