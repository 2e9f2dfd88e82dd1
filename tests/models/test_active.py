"""Which models are active, and how they become so."""

from __future__ import annotations

from pathlib import Path

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
    await home.post("load", modelKey=LLM)
    _, active = await home.get("/admin/models/active")
    assert active["activeModel"]["instanceId"] == f"{LLM}:2"
    await home.post("unload", modelKey=LLM, instanceId=LLM)
    assert (await home.get("/admin/models/active"))[1] == active
    await home.post("unload", modelKey=LLM, instanceId=f"{LLM}:2")
    assert (await home.get("/admin/models/active"))[1]["activeModel"] is None


async def test_the_named_instance_is_active_and_no_other(home: Home) -> None:
    """Also where its name is its model's key, by which LM Studio has other instances too."""
    await home.post("load", modelKey=LLM, instanceId=LLM)
    await home.post("load", modelKey=LLM, activate=False)
    _, listed = await home.get("/admin/models")
    assert {model["identifier"]: model["active"] for model in listed["loaded"]} == {
        LLM: True,
        f"{LLM}:2": False,
    }
    await home.post("unload", modelKey=LLM, instanceId=LLM)
    assert (await home.get("/admin/models/active"))[1]["activeModel"] is None


async def test_one_of_several_copies_is_active(home: Home) -> None:
    """The one of exactly the name that requests are given; without such a one it may be any."""
    for instance_id in (None, "a", "b"):
        await home.post("load", modelKey=LLM, instanceId=instance_id, activate=False)
    await home.post("activate", modelKey=LLM)
    for gone, active in (("nobody", {LLM}), (LLM, {"a", "b"})):
        await home.post("unload", modelKey=LLM, instanceId=gone)
        _, listed = await home.get("/admin/models")
        assert {model["identifier"] for model in listed["loaded"] if model["active"]} == active


@pytest.mark.parametrize(
    ("model_key", "said"),
    [
        (LLM, f"{LLM} is now the active model."),
        (OTHER, f"{OTHER} is now the active model, but isn't loaded: load it"),
        ("qwen2.5-7b", "but LM Studio has no model of that name; similar names: qwen2.5-"),
    ],
)
async def test_whoever_activates_what_is_not_there_is_told(home: Home, model_key: str, said: str) -> None:
    """It may come to be, so it is no error; a misspelt name would be one for everybody else."""
    await home.post("load", modelKey=LLM)
    status, answer = await home.post("activate", modelKey=model_key)
    assert (status, answer["status"]) == (200, "activated")
    assert said in answer["message"]


async def test_active_by_its_path(home: Home) -> None:
    """Whatever name it was made active by, the list says so."""
    await home.post("load", modelKey=LLM, activate=False)
    (model,) = (await home.get("/admin/models"))[1]["loaded"]
    await home.post("activate", modelKey=model["path"])
    (model,) = (await home.get("/admin/models"))[1]["loaded"]
    assert model["active"]


async def test_an_active_embedding_model_stays_one_without_lm_studio(home: Home) -> None:
    """To activate it again with other parameters replaces no chat model."""
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
    """An embedding model that is only activated answers embeddings, not chats."""
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
    """What was active before the last end is active after the next start, with its parameters."""
    await home.post(
        "activate", modelKey=LLM, instanceId="x", defaultInference={"stopStrings": ["a"], "stream": True}
    )
    await home.post("activate", modelKey=EMBEDDING, type="embedding")
    _, before = await home.get("/admin/models/active")
    again = Home(await start_gateway(home.studio.base_url), home.studio)
    assert (await again.get("/admin/models/active"))[1] == before


async def test_state_that_cant_be_saved_changes_nothing(
    start_gateway: StartGateway, home: Home, tmp_path: Path
) -> None:
    """A full or read-only disk fails the admin call clearly, and proxying goes on."""
    (tmp_path / "file").write_text("")
    server = {"state_dir": str(tmp_path / "file" / "state")}
    gateway = Home(await start_gateway(home.studio.base_url, server=server), home.studio)
    status, answer = await gateway.post("activate", modelKey=LLM)
    assert (status, "server.state_dir" in answer["error"]) == (500, True)
    status, answer = await gateway.post("load", modelKey=LLM)
    assert status == 500
    assert answer["error"].startswith(f"{LLM} is loaded. The state can't be saved in ")
    assert (await gateway.get("/admin/models/active"))[1]["activeModel"] is None
    assert (await gateway.get("/v1/models"))[0] == 200
