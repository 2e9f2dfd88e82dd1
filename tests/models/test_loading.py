"""Models loaded over the admin API, and loads that are cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from lmgateway.models.names import WHERE_TO_LOOK
from lmgateway.schema.models import DownloadedModel
from lmgateway.simulator import Pace, Simulator
from lmgateway.simulator.engine import load_config
from lmgateway.simulator.engine.switches import Switches
from lmgateway.web.state import FLEET
from tests.conftest import StartGateway
from tests.support.home import QUICK, Home
from tests.support.studio import Held, running_studio

LLM, OTHER, EMBEDDING = "qwen2.5-7b-instruct", "llama-3.2-3b-instruct", "text-embedding-nomic-embed-text-v1.5"


async def test_a_load_succeeds_though_its_settings_cant_be_read(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client would repeat a load that is reported as failed."""
    monkeypatch.setattr(load_config, "as_config", lambda _settings: {"fields": ["news"]})
    status, answer = await home.post("load", modelKey=LLM)
    assert (status, answer["loadConfig"], answer["identifier"]) == (200, {}, LLM)
    assert (await home.get("/admin/models/active"))[1]["activeModel"]["modelKey"] == LLM


async def test_loading_without_activating(home: Home) -> None:
    """`activate: false` loads and changes nothing else; null means absent."""
    await home.post("load", modelKey=LLM, activate=None, loadConfig=None, ttlSeconds=None, instanceId=None)
    status, answer = await home.post("load", modelKey=OTHER, activate=False)
    assert (status, answer["activated"]) == (200, False)
    assert (await home.get("/admin/models/active"))[1]["activeModel"]["modelKey"] == LLM


@pytest.mark.parametrize(
    ("model", "context", "status", "sentence"),
    [
        ("qwen2-7b", None, 404, "The nearest on its disk: qwen2.5-"),
        (LLM, 10_000_000, 500, "Insufficient system resources"),
        ("no-size-fits", None, 400, "is of type drafter"),
    ],
    ids=["unknown", "out of memory", "no model to load"],
)
async def test_a_failed_load_says_why(
    start_gateway: StartGateway, model: str, context: int | None, status: int, sentence: str
) -> None:
    """Each refusal has its own status, and one line with LM Studio's own reason."""
    drafter = {"type": "drafter", "modelKey": "no-size-fits", "path": "x/y"}
    async with running_studio(
        Simulator(pace=Pace.instant(), switches=Switches(auto_fit=False), extra_models=[drafter])
    ) as studio:
        home = Home(await start_gateway(studio.base_url, lmstudio=QUICK), studio)
        answer = await home.post("load", modelKey=model, loadConfig={"contextLength": context})
    assert answer[0] == status
    assert sentence in answer[1]["error"]
    assert "\n" not in answer[1]["error"]
    assert "Traceback" not in str(answer)


@pytest.mark.parametrize("first", [LLM, EMBEDDING])
async def test_used_name_is_a_conflict(home: Home, first: str) -> None:
    """LM Studio would refuse it without a code."""
    await home.post("load", modelKey=first, instanceId="mine")
    status, answer = await home.post("load", modelKey=OTHER, instanceId="mine")
    assert (status, "mine is loaded already" in answer["error"]) == (409, True)


async def test_twenty_equal_loads_are_one(held_home: Home, held: Held) -> None:
    """Requests for a model that is being loaded wait for the same load."""
    asked = [asyncio.create_task(held_home.post("load", modelKey=LLM)) for _ in range(20)]
    await asyncio.wait_for(held.waiting.acquire(), 5)
    held.finish()
    answers = await asyncio.wait_for(asyncio.gather(*asked), 10)
    assert {status for status, _ in answers} == {200}
    assert {answer["identifier"] for _, answer in answers} == {LLM}
    _, listed = await held_home.get("/admin/models")
    assert len(listed["loaded"]) == 1


async def test_same_name_with_other_settings_is_a_conflict(held_home: Home, held: Held) -> None:
    """One name can't have two settings; the first load continues."""
    first = asyncio.create_task(held_home.post("load", modelKey=LLM, instanceId="x"))
    await asyncio.wait_for(held.waiting.acquire(), 5)
    status, answer = await held_home.post(
        "load", modelKey=LLM, instanceId="x", loadConfig={"contextLength": 512}
    )
    assert (status, "other settings" in answer["error"]) == (409, True)
    held.finish()
    assert (await asyncio.wait_for(first, 5))[0] == 200


async def test_load_goes_on_without_its_caller(held_home: Home, held: Held) -> None:
    """A client that disconnects neither stops its load nor prevents its activation."""
    async with held_home.events() as events:
        asking = asyncio.create_task(held_home.post("load", modelKey=LLM))
        await asyncio.wait_for(held.waiting.acquire(), 5)
        asking.cancel()
        held.finish()
        while (await asyncio.wait_for(events.get(), 5))[0] != "model_activate":
            pass
    assert (await held_home.get("/admin/models/active"))[1]["activeModel"]["modelKey"] == LLM


async def test_cancel_is_lm_studios_own(held_home: Home, held: Held) -> None:
    """The load ends in LM Studio too; its caller gets 409, and a cancel of no load 404."""
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


async def test_an_unknown_model_is_404_though_near_names_cant_be_listed(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LM Studio may be down when its models are listed for near names."""
    sdk = home.gateway.app[FLEET].boxes.main.sdk
    listed, ask = await sdk.downloaded(), sdk.downloaded

    async def only_for_the_load(*, attempts: int | None = None) -> Sequence[DownloadedModel]:
        if attempts is None:
            return listed
        await home.studio.stop()
        return await ask(attempts=attempts)

    monkeypatch.setattr(sdk, "downloaded", only_for_the_load)
    status, answer = await home.post("load", modelKey="qwen-7b")
    assert (status, answer["error"]) == (
        404,
        f"LM Studio has no model qwen-7b. {WHERE_TO_LOOK} lists what it has.",
    )
