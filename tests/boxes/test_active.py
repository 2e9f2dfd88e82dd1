"""The life of a model, over the admin API."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import pytest

from lmgateway.boxes.loads import WHERE_TO_LOOK
from lmgateway.schema.models import ActiveModels
from lmgateway.simulator import Pace, Simulator
from lmgateway.simulator.engine import load_config
from lmgateway.simulator.engine.catalogue import Domain
from lmgateway.simulator.engine.faults import Fault
from lmgateway.simulator.engine.memory import Memory
from lmgateway.storage.state_file import StateFile
from tests.boxes.conftest import QUICK, Home
from tests.conftest import StartGateway
from tests.support.studio import Held, running_studio
from tests.support.waiting import PATIENCE_SECONDS

LLM, OTHER, EMBEDDING = "qwen2.5-7b-instruct", "llama-3.2-3b-instruct", "text-embedding-nomic-embed-text-v1.5"


async def test_whole_life_with_its_events(home: Home) -> None:
    """Listed, loaded, active, unloaded: the answers and the events tell the same story."""
    async with home.events() as events:
        config = {
            "contextLength": 8192,
            "flashAttention": True,
            "gpu": {"ratio": 0.5, "layers": 3},
            "cpuThreads": 4,
        }
        status, answer = await home.post(
            "load", modelKey=LLM, instanceId="big", loadConfig=config, ttlSeconds=600
        )
        assert status == 200
        assert answer["loadConfig"]["contextLength"] == 8192
        assert answer["loadConfig"]["gpu"]["ratio"] == 0.5
        assert answer["totalTimeMs"] >= 0
        assert answer | {"loadConfig": 0, "totalTimeMs": 0, "message": ""} == {
            "status": "loaded",
            "modelKey": LLM,
            "instanceId": "big",
            "identifier": "big",
            "activated": True,
            "totalTimeMs": 0,
            "loadConfig": 0,
            "ignored": ["loadConfig.gpu.layers", "loadConfig.cpuThreads"],
            "message": "",
        }
        _, listed = await home.get("/admin/models")
        (loaded,) = listed["loaded"]
        assert (loaded["identifier"], loaded["active"], loaded["contextLength"]) == ("big", True, 8192)
        assert loaded["ttlMs"] == 600_000
        assert {model["modelKey"] for model in listed["downloaded"]} >= {LLM, OTHER, EMBEDDING}
        assert all(model["path"] and model["size"] > 0 for model in listed["downloaded"])

        assert await home.post("unload", modelKey=LLM, instanceId="nobody") == (
            404,
            {
                "status": "not_found",
                "modelKey": LLM,
                "instanceId": "nobody",
                "message": f"Nothing named nobody is loaded; {WHERE_TO_LOOK} lists what is.",
                "error": "Model not found",
            },
        )
        status, answer = await home.post("unload", modelKey=LLM)
        assert (status, answer["status"], answer["instanceId"]) == (200, "unloaded", None)
        assert (await home.get("/admin/models/active"))[1] == {
            "activeModel": None,
            "activeEmbeddingModel": None,
        }

        told = [await asyncio.wait_for(events.get(), 5) for _ in range(5)]
        while told[-1][0] != "model_unload_complete":
            told.append(await asyncio.wait_for(events.get(), 5))
    progress = [event["progressRaw"] for name, event in told if name == "model_load_progress"]
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    assert [name for name, _ in told if name != "model_load_progress"] == [
        "model_load_start",
        "model_load_complete",
        "model_activate",
        "model_unload_start",
        "model_unload_complete",
    ]


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


@pytest.mark.parametrize("by", ["key", "path", "identifier"])
async def test_unload_by_any_name(home: Home, by: str) -> None:
    """By key and path every instance goes; by identifier that one."""
    await home.post("load", modelKey=LLM)
    await home.post("load", modelKey=LLM)
    _, listed = await home.get("/admin/models")
    names = {model["identifier"] for model in listed["loaded"]}
    assert names == {LLM, f"{LLM}:2"}
    name = {"key": LLM, "path": listed["loaded"][0]["path"], "identifier": f"{LLM}:2"}[by]
    status, _ = await home.post("unload", modelKey=name)
    assert status == 200
    _, listed = await home.get("/admin/models")
    assert {model["identifier"] for model in listed["loaded"]} == ({LLM} if by == "identifier" else set())


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
        (LLM, f"{LLM} now answers requests that name no model."),
        (OTHER, f"{OTHER} now answers requests that name no model, but isn't loaded: load it"),
        ("qwen2.5-7b", "but LM Studio has no model of that name; the nearest that it has: qwen2.5-"),
    ],
)
async def test_whoever_activates_what_is_not_there_is_told(home: Home, model_key: str, said: str) -> None:
    """It may come to be, so it is no error; a misspelt name would be one for everybody else."""
    await home.post("load", modelKey=LLM)
    status, answer = await home.post("activate", modelKey=model_key)
    assert (status, answer["status"]) == (200, "activated")
    assert said in answer["message"]


async def test_whoever_unloads_the_active_model_is_told(home: Home) -> None:
    """From now on requests have to name one."""
    await home.post("load", modelKey=LLM)
    _, answer = await home.post("unload", modelKey=LLM)
    assert answer["message"] == f"Unloaded {LLM}. No llm model is active now."


async def test_active_by_its_path(home: Home) -> None:
    """Whatever name it was made active by, the list says so."""
    await home.post("load", modelKey=LLM, activate=False)
    (model,) = (await home.get("/admin/models"))[1]["loaded"]
    await home.post("activate", modelKey=model["path"])
    (model,) = (await home.get("/admin/models"))[1]["loaded"]
    assert model["active"]


async def test_a_load_is_one_though_its_settings_cant_be_told(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever was told that it failed would load the model once more."""
    monkeypatch.setattr(load_config, "as_config", lambda _settings: {"fields": ["news"]})
    status, answer = await home.post("load", modelKey=LLM)
    assert (status, answer["loadConfig"], answer["identifier"]) == (200, {}, LLM)
    assert (await home.get("/admin/models/active"))[1]["activeModel"]["modelKey"] == LLM


async def test_what_was_unloaded_is_forgotten_though_the_rest_failed(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Active is nothing that is gone; and the failure is told as an event."""
    await home.post("load", modelKey=LLM, instanceId="first")
    await home.post("load", modelKey=LLM, instanceId="second", activate=False)
    unload = Memory.unload

    def refuse_the_second(memory: Memory, identifier: str, domain: Domain) -> None:
        if identifier == "second":
            raise Fault("The model is busy.")
        unload(memory, identifier, domain)

    monkeypatch.setattr(Memory, "unload", refuse_the_second)
    async with home.events() as events:
        assert (await home.post("unload", modelKey=LLM))[0] == 500
        told = [await asyncio.wait_for(events.get(), 5) for _ in range(2)]
    assert [name for name, _ in told] == ["model_unload_start", "error"]
    assert told[1][1]["operation"] == "model_unload"
    assert (await home.get("/admin/models/active"))[1]["activeModel"] is None


async def test_what_others_unloaded_meanwhile_is_unloaded(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LM Studio's window and a time to live unload too; that it is gone is what was asked for."""
    for name in ("first", "second"):
        await home.post("load", modelKey=LLM, instanceId=name)
    unload = Memory.unload

    def unload_both(memory: Memory, identifier: str, domain: Domain) -> None:
        unload(memory, identifier, domain)
        if identifier == "first":
            unload(memory, "second", domain)

    monkeypatch.setattr(Memory, "unload", unload_both)
    assert (await home.post("unload", modelKey=LLM))[0] == 200
    assert (await home.get("/admin/models"))[1]["loaded"] == []
    assert (await home.get("/admin/models/active"))[1]["activeModel"] is None


async def test_an_unload_that_cant_begin_is_told(home: Home) -> None:
    """A failed operation is an event and a state, whichever step of it failed."""
    await home.studio.stop()
    async with home.events() as events:
        assert (await home.post("unload", modelKey=LLM))[0] == 503
        name, event = await asyncio.wait_for(events.get(), 5)
    assert (name, event["operation"]) == ("error", "model_unload")
    assert (await home.get("/debug/status"))[1]["status"] == "error"


async def test_an_unload_that_cant_be_remembered_is_told(
    home: Home, start_gateway: StartGateway, tmp_path: Path
) -> None:
    """The model is gone, whatever becomes of the state."""
    server = {"state_dir": str(tmp_path / "full")}
    gateway = Home(await start_gateway(home.studio.base_url, server=server), home.studio)
    await gateway.post("load", modelKey=LLM)
    (tmp_path / "full" / "state.new").mkdir()
    status, answer = await gateway.post("unload", modelKey=LLM)
    assert status == 500
    assert answer["error"].startswith(f"{LLM} is unloaded. The state can't be saved in ")


async def test_a_cancel_names_what_it_cancelled(held_home: Home, held: Held) -> None:
    """All loads of the model, by the names that they were to have."""
    asked = [asyncio.create_task(held_home.post("load", modelKey=LLM, instanceId=name)) for name in "ab"]
    for _ in asked:
        await asyncio.wait_for(held.waiting.acquire(), 5)
    status, answer = await asyncio.wait_for(held_home.post("load/cancel", modelKey=LLM), 5)
    assert (status, answer["message"]) == (200, "The load of a, b was cancelled.")
    assert [status for status, _ in await asyncio.gather(*asked)] == [409, 409]


async def test_an_unload_of_nothing_is_no_operation(home: Home) -> None:
    """What failed before it is still what failed last, and nothing is counted."""
    await home.studio.stop()
    assert (await home.post("unload", modelKey=LLM))[0] == 503
    await home.studio.start()
    assert (await home.post("unload", modelKey=LLM))[0] == 404
    assert (await home.get("/debug/status"))[1]["status"] == "error"
    async with home.gateway.client.get(home.gateway.url("/metrics")) as response:
        metrics = await response.text()
    counted = dict(re.findall(r'operations_total\{operation="model_unload",result="(\w+)"\} (\S+)', metrics))
    assert (counted["failure"], counted.get("success", "0.0")) == ("1.0", "0.0")


async def test_an_unload_undoes_no_activation_beside_it(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made active while the one before it is unloaded stays active."""
    await home.post("load", modelKey=LLM)
    save, saving, may_save = StateFile.save, asyncio.Event(), asyncio.Event()

    async def slowly(file: StateFile, active: ActiveModels) -> None:
        saving.set()
        await may_save.wait()
        await save(file, active)

    monkeypatch.setattr(StateFile, "save", slowly)
    activating = asyncio.create_task(home.post("activate", modelKey=OTHER))
    await asyncio.wait_for(saving.wait(), 5)
    unloading = asyncio.create_task(home.post("unload", modelKey=LLM))
    while (await home.get("/admin/models"))[1]["loaded"]:
        pass
    may_save.set()
    assert [status for status, _ in await asyncio.gather(activating, unloading)] == [200, 200]
    assert (await home.get("/admin/models/active"))[1]["activeModel"]["modelKey"] == OTHER


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


async def test_loading_without_activating(home: Home) -> None:
    """`activate: false` loads and changes nothing else; null is as good as absent."""
    await home.post("load", modelKey=LLM, activate=None, loadConfig=None, ttlSeconds=None, instanceId=None)
    status, answer = await home.post("load", modelKey=OTHER, activate=False)
    assert (status, answer["activated"]) == (200, False)
    assert (await home.get("/admin/models/active"))[1]["activeModel"]["modelKey"] == LLM


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({"modelKey": "qwen-7b"}, 404, "The nearest on its disk: qwen2.5-"),
        (
            {"modelKey": LLM, "loadConfig": {"contextLength": 10_000_000}},
            500,
            "Insufficient system resources",
        ),
        ({"modelKey": ""}, 400, "Validation failed"),
        ({"modelKey": LLM, "ttlSeconds": -1}, 400, "Validation failed"),
        ({"modelKey": "no-size-fits"}, 400, "is of type drafter"),
    ],
    ids=["unknown", "out of memory", "empty key", "negative ttl", "no model to load"],
)
async def test_failed_load_says_why(
    start_gateway: StartGateway, body: dict[str, object], status: int, sentence: str
) -> None:
    """Each refusal has its own status and one line of LM Studio's own reasons, without a trace or a box."""
    drafter = {"type": "drafter", "modelKey": "no-size-fits", "path": "x/y"}
    async with running_studio(Simulator(pace=Pace.instant(), extra_models=[drafter])) as studio:
        home = Home(await start_gateway(studio.base_url, lmstudio=QUICK), studio)
        found, answer = await home.post("load", **body)
    assert found == status
    assert sentence in answer["error"]
    assert "\n" not in answer["error"]
    assert "Traceback" not in str(answer)


@pytest.mark.parametrize("first", [LLM, EMBEDDING])
async def test_used_name_is_a_conflict(home: Home, first: str) -> None:
    """LM Studio would refuse it without a code, which is nobody's mistake but the client's."""
    await home.post("load", modelKey=first, instanceId="mine")
    status, answer = await home.post("load", modelKey=OTHER, instanceId="mine")
    assert (status, "mine is loaded already" in answer["error"]) == (409, True)


async def test_twenty_equal_loads_are_one(held_home: Home, held: Held) -> None:
    """Whoever asks for what is being loaded waits for the same load."""
    asked = [asyncio.create_task(held_home.post("load", modelKey=LLM)) for _ in range(20)]
    await asyncio.wait_for(held.waiting.acquire(), 5)
    held.finish()
    answers = await asyncio.wait_for(asyncio.gather(*asked), 10)
    assert {status for status, _ in answers} == {200}
    assert {answer["identifier"] for _, answer in answers} == {LLM}
    _, listed = await held_home.get("/admin/models")
    assert len(listed["loaded"]) == 1


async def test_same_name_with_other_settings_is_a_conflict(held_home: Home, held: Held) -> None:
    """One name can't be two things; the first load goes on."""
    first = asyncio.create_task(held_home.post("load", modelKey=LLM, instanceId="x"))
    await asyncio.wait_for(held.waiting.acquire(), 5)
    status, answer = await held_home.post(
        "load", modelKey=LLM, instanceId="x", loadConfig={"contextLength": 512}
    )
    assert (status, "other settings" in answer["error"]) == (409, True)
    held.finish()
    assert (await asyncio.wait_for(first, 5))[0] == 200


async def test_load_goes_on_without_its_caller(held_home: Home, held: Held) -> None:
    """A caller that leaves neither stops its load nor keeps it from becoming active."""
    async with held_home.events() as events:
        asking = asyncio.create_task(held_home.post("load", modelKey=LLM))
        await asyncio.wait_for(held.waiting.acquire(), 5)
        asking.cancel()
        held.finish()
        while (await asyncio.wait_for(events.get(), 5))[0] != "model_activate":
            pass
    assert (await held_home.get("/admin/models/active"))[1]["activeModel"]["modelKey"] == LLM


async def test_cancel_is_lm_studios_own(held_home: Home, held: Held) -> None:
    """A cancelled load ends in LM Studio too; who waited gets 409, who cancels nothing 404."""
    status, _ = await held_home.post("load/cancel", modelKey=LLM)
    assert status == 404
    async with held_home.events() as events:
        asking = asyncio.create_task(held_home.post("load", modelKey=LLM, instanceId="x"))
        await asyncio.wait_for(held.waiting.acquire(), 5)
        assert (await held_home.post("load/cancel", modelKey=LLM, instanceId="y"))[0] == 404
        assert (await held_home.post("load/cancel", modelKey=OTHER, instanceId="x"))[0] == 404
        status, answer = await asyncio.wait_for(held_home.post("load/cancel", modelKey="x"), 5)
        assert (status, answer["status"]) == (200, "cancelled")
        assert answer["message"] == "The load of x was cancelled."
        status, answer = await asyncio.wait_for(asking, 5)
        assert (status, "cancelled" in answer["error"]) == (409, True)
        while (event := await asyncio.wait_for(events.get(), 5))[0] != "error":
            pass
    assert event[1]["operation"] == "model_load"
    held.finish()
    assert (await held_home.get("/admin/models"))[1]["loaded"] == []
    assert (await held_home.get("/admin/models/active"))[1]["activeModel"] is None


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


@pytest.mark.parametrize("within", [PATIENCE_SECONDS, pytest.param(0.1, marks=pytest.mark.long)])
async def test_large_catalogue_is_listed_whole_and_fast(start_gateway: StartGateway, within: float) -> None:
    """1,500 models, one of a kind that nobody has heard of: all of them; in 100 ms if nobody else is busy."""
    models: list[dict[str, object]] = [
        {"type": "llm", "modelKey": f"model-{number}", "path": f"p/{number}.gguf", "sizeBytes": number}
        for number in range(1499)
    ]
    models.append({"type": "hologram", "modelKey": "strange", "path": "p/strange", "new": {}})
    async with running_studio(Simulator(pace=Pace.instant(), extra_models=models)) as studio:
        home = Home(await start_gateway(studio.base_url, lmstudio=QUICK), studio)
        seconds = []
        for _ in range(3):
            began = time.monotonic()
            status, listed = await home.get("/admin/models")
            seconds.append(time.monotonic() - began)
            assert status == 200
    keys = {model["modelKey"]: model for model in listed["downloaded"]}
    assert keys.keys() >= {model["modelKey"] for model in models}
    assert keys["strange"]["type"] == "hologram"
    assert min(seconds) < within
