"""What a load takes from the model's profile in the configuration."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from lmgateway.simulator import Pace, Simulator
from tests.conftest import StartGateway
from tests.support.home import QUICK, Home
from tests.support.studio import running_studio

LLM, OTHER = "qwen2.5-7b-instruct", "llama-3.2-3b-instruct"
PROFILE = {"contextLength": 2048, "parallel": 2, "gpu": {"ratio": 0.25}}


@pytest.fixture
async def home(start_gateway: StartGateway) -> AsyncIterator[Home]:
    """The configuration has a profile for one model."""
    async with running_studio(Simulator(pace=Pace.instant())) as studio:
        gateway = await start_gateway(studio.base_url, lmstudio=QUICK, models={LLM: {"load": PROFILE}})
        yield Home(gateway, studio)


async def path_of(home: Home, model_key: str) -> str:
    _, listed = await home.get("/admin/models")
    return next(model["path"] for model in listed["downloaded"] if model["modelKey"] == model_key)


@pytest.mark.parametrize("by_path", [False, True], ids=["key", "path"])
async def test_a_load_without_settings_takes_the_profiles(home: Home, by_path: bool) -> None:
    """Whichever of its names the model is given by; events and answer show them."""
    name = await path_of(home, LLM) if by_path else LLM
    async with home.events() as events:
        status, answer = await home.post("load", modelKey=name)
        assert (status, answer["loadConfig"]["contextLength"]) == (200, 2048)
        assert answer["loadConfig"]["gpu"]["ratio"] == 0.25
        assert answer["loadConfig"]["parallel"] == 2
        published = [await events.get() for _ in range(3)]
    start = next(data for kind, data in published if kind == "model_load_start")
    assert start["loadConfig"] == PROFILE
    _, listed = await home.get("/admin/models")
    assert [model["contextLength"] for model in listed["loaded"]] == [2048]


@pytest.mark.parametrize("sent", [{}, {"flashAttention": True}], ids=["empty", "another setting"])
async def test_a_load_with_settings_takes_none_of_the_profiles(home: Home, sent: dict[str, object]) -> None:
    """An empty loadConfig asks for LM Studio's own settings."""
    plain = await home.post("load", modelKey=OTHER)
    status, answer = await home.post("load", modelKey=LLM, loadConfig=sent)
    assert status == plain[0] == 200
    assert answer["loadConfig"].get("contextLength") != 2048
    assert answer["loadConfig"].get("gpu", {}).get("ratio") != 0.25


async def test_a_profile_is_for_its_own_model(home: Home) -> None:
    async with home.events() as events:
        status, answer = await home.post("load", modelKey=OTHER)
        assert (status, answer["loadConfig"].get("contextLength") == 2048) == (200, False)
        kind, data = await events.get()
    assert (kind, data["loadConfig"]) == ("model_load_start", None)


async def test_a_load_that_cant_look_its_profile_up_failed(home: Home) -> None:
    """It isn't loaded without the profile, and counts as a failed load."""
    path = await path_of(home, LLM)
    await home.studio.stop()
    async with home.events() as events:
        status, _ = await home.post("load", modelKey=path)
        assert status == 503
        kind, data = await events.get()
    assert (kind, data["operation"], data["modelKey"]) == ("error", "model_load", path)
