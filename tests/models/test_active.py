"""Which models are active, and how they become so."""

from __future__ import annotations

import pytest

from tests.conftest import StartGateway
from tests.support.home import Home

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


@pytest.mark.parametrize(
    ("model_key", "message"),
    [
        (LLM, f"{LLM} is now the active model."),
        (OTHER, f"{OTHER} is now the active model, but isn't loaded: load it"),
        ("qwen2.5-7b", "but LM Studio has no model of that name; similar names: qwen2.5-"),
    ],
)
async def test_activating_a_missing_model_is_explained(home: Home, model_key: str, message: str) -> None:
    """It may be loaded later, so it is no error; a misspelt name gets similar names."""
    await home.post("load", modelKey=LLM)
    status, answer = await home.post("activate", modelKey=model_key)
    assert (status, answer["status"]) == (200, "activated")
    assert message in answer["message"]


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
    await home.post("activate", modelKey="nomic-alone", type="embedding")
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
