"""The dialog of a load: every setting of the API, mistakes at their fields, and the lines for config.toml."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from playwright.async_api import Locator, expect

from lmgateway.schema.models import DefaultInference, Gpu, LoadConfig
from tests.dashboard.browsing import DESKTOP, MODEL, PHONE, STICKING_OUT, TITLE, Visit, check_schemes
from tests.dashboard.conftest import OpenDashboard
from tests.support.sources import Sources

EMBEDDING = "Nomic Embed Text v1.5"
PROFILE = "Keep as this model's profile"
OPEN_ALL = "document.querySelectorAll('dialog details').forEach((details) => (details.open = true))"
LOOKS = [DESKTOP, pytest.param(PHONE, marks=pytest.mark.long)]

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def open_dialog(visit: Visit, title: str = TITLE) -> Locator:
    """Open the dialog, with all of its parts unfolded."""
    await visit.button(f"Load {title}").click()
    dialog = visit.page.get_by_role("dialog", name=f"Load {title}")
    await expect(dialog).to_be_visible()
    await visit.page.evaluate(OPEN_ALL)
    return dialog


async def body_of_load(visit: Visit) -> Any:
    """Press the dialog's button, and return the request's body."""
    async with visit.page.expect_request("**/admin/models/load") as request:
        await visit.button("Load").click()
    return (await request.value).post_data_json


def names(kind: type, prefix: str) -> set[str]:
    return {f"{prefix}{info.encode_name}" for info in msgspec.structs.fields(kind)}


async def offered(dialog: Locator) -> set[str]:
    """The paths of the settings that have a control."""
    ids = await dialog.locator("input, select, textarea").evaluate_all("all => all.map(one => one.id)")
    return {one.removeprefix("load-").replace("-", ".") for one in ids}


async def test_every_setting_of_the_api_is_offered(open_dashboard: OpenDashboard) -> None:
    """A new one needs no other list. A setting that only an LLM has isn't offered for an embedding model."""
    visit = await open_dashboard(path="/dashboard#models")
    settings = names(LoadConfig, "loadConfig.") - {"loadConfig.gpu"} | names(Gpu, "loadConfig.gpu.")
    others = names(DefaultInference, "defaultInference.") | {"instanceId", "ttlSeconds", "activate"}
    assert await offered(await open_dialog(visit)) == settings | others
    await visit.page.keyboard.press("Escape")
    of_embedding = {
        one for one in settings if re.search("contextLength|[.]gpu[.]|rope|keepModel|tryMmap|cpuThr", one)
    }
    assert await offered(await open_dialog(visit, EMBEDDING)) == of_embedding | others


async def test_the_common_settings_come_first(open_dashboard: OpenDashboard) -> None:
    """The others are folded away, and those that LM Studio doesn't have are the last."""
    visit = await open_dashboard(path="/dashboard#models")
    await visit.button(f"Load {TITLE}").click()
    dialog = visit.page.get_by_role("dialog")
    for label in ("Context length", "Parallel predictions", "GPU offload", "Make it the active model"):
        await expect(dialog.get_by_label(label)).to_be_visible()
    await expect(dialog.get_by_label("Batch size")).to_be_hidden()
    await expect(dialog.locator("summary")).to_have_text(
        [
            "Context and its cache",
            "GPU",
            "Memory and speed",
            "Instance",
            "Default parameters of requests",
            "Ignored by LM Studio",
            PROFILE,
        ]
    )


async def test_a_setting_says_what_it_is(open_dashboard: OpenDashboard) -> None:
    """Its description, its range, and the values to choose from, as the API's document has them."""
    visit = await open_dashboard(path="/dashboard#models")
    dialog = await open_dialog(visit)
    ratio = dialog.get_by_label("GPU offload")
    await expect(ratio).to_have_accessible_description(
        re.compile(r'takes more of the GPU\'s memory\..* Number from 0 to 1, "max", or "off"\.$')
    )
    context = dialog.get_by_label("Context length")
    assert [await context.get_attribute(name) for name in ("min", "max", "step")] == ["1", "131072", "1"]
    await expect(context).to_have_accessible_description(re.compile("At most 131,072 for this model"))
    split = dialog.get_by_label("Split").locator("option")
    await expect(split).to_have_text(["LM Studio's default", "evenly", "favorMainGpu"])


async def test_only_what_was_changed_is_sent(open_dashboard: OpenDashboard) -> None:
    """An empty loadConfig would replace the model's profile."""
    visit = await open_dashboard(path="/dashboard#models")
    visit.pace.finish()
    await open_dialog(visit)
    assert await body_of_load(visit) == {"modelKey": MODEL, "activate": True}


async def test_the_settings_are_sent_as_the_api_has_them(open_dashboard: OpenDashboard) -> None:
    """Numbers, words, lists and switches; and LM Studio gets them."""
    visit = await open_dashboard(path="/dashboard#models")
    visit.pace.finish()
    dialog = await open_dialog(visit)
    for label, text in {
        "Context length": "2048",
        "Parallel predictions": "2",
        "GPU offload": "0.5",
        "Disabled GPUs": "1, 2",
        "Name of the instance": "spare",
        "Unload when idle for": "60",
        "Temperature": "0.7",
        "Stop strings": "a, b\nc",
    }.items():
        await dialog.get_by_label(label).fill(text)
    await dialog.get_by_label("Unified KV cache").select_option("off")
    await dialog.get_by_label("K cache quantization").select_option("q8_0")
    await dialog.get_by_label("V cache quantization").select_option("false")
    await dialog.get_by_label("Make it the active model").uncheck()
    assert await body_of_load(visit) == {
        "modelKey": MODEL,
        "instanceId": "spare",
        "ttlSeconds": 60,
        "activate": False,
        "loadConfig": {
            "contextLength": 2048,
            "parallel": 2,
            "useUnifiedKvCache": False,
            "gpu": {"ratio": 0.5, "disabledGpus": [1, 2]},
            "llamaKCacheQuantizationType": "q8_0",
            "llamaVCacheQuantizationType": False,
        },
        "defaultInference": {"temperature": 0.7, "stopStrings": ["a, b", "c"]},
    }
    await expect(visit.page.locator("#notices")).to_contain_text("spare is loaded.")
    (instance,) = visit.studio.simulator.memory.instances()
    assert instance.identifier == "spare"
    assert instance.settings["llm.load.numParallelSessions"] == 2
    assert instance.settings["llm.load.useUnifiedKvCache"] is False


async def test_a_mistake_stands_at_its_field(open_dashboard: OpenDashboard) -> None:
    """Also in a part that is folded away. Nothing that was typed is lost, and the first one has the focus."""
    visit = await open_dashboard(path="/dashboard#models")
    visit.tolerated = 400
    visit.pace.finish()
    dialog = await open_dialog(visit)
    ratio, disabled = dialog.get_by_label("GPU offload"), dialog.get_by_label("Disabled GPUs")
    await ratio.fill("much")
    await visit.page.evaluate(OPEN_ALL.replace("true", "false"))
    await visit.button("Load").click()
    await expect(ratio).to_have_attribute("aria-invalid", "true")
    await expect(ratio).to_be_focused()
    await expect(dialog.get_by_role("alert")).to_have_text("Nothing was loaded. Change what is marked.")
    await ratio.fill("max")
    await visit.page.evaluate(OPEN_ALL)
    await disabled.fill("0, two")
    await visit.page.evaluate(OPEN_ALL.replace("true", "false"))
    await visit.button("Load").click()
    await expect(disabled).to_be_focused()
    await expect(disabled).to_have_accessible_description(re.compile("two: Expected"))
    await expect(ratio).to_have_attribute("aria-invalid", "false")
    await disabled.fill("1")
    await visit.button("Load").click()
    await expect(dialog).to_be_hidden()
    await expect(visit.page.locator("#notices")).to_contain_text("is loaded")


async def test_a_value_out_of_range_is_shown(open_dashboard: OpenDashboard) -> None:
    """The browser refuses it, and unfolds the part that it is in."""
    visit = await open_dashboard(path="/dashboard#models")
    dialog = await open_dialog(visit)
    await dialog.get_by_label("Batch size").fill("0")
    await visit.page.evaluate(OPEN_ALL.replace("true", "false"))
    await visit.button("Load").click()
    await expect(dialog.get_by_label("Batch size")).to_be_focused()
    assert not [url for url in visit.asked if url.endswith("/admin/models/load")]


async def test_the_profile_is_toml_that_the_gateway_reads(
    open_dashboard: OpenDashboard, tmp_path: Path
) -> None:
    """What is copied loads the model with these settings. It follows what is typed."""
    visit = await open_dashboard(path="/dashboard#models")
    await visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    dialog = await open_dialog(visit, "Qwen3 8B")
    await expect(dialog.get_by_text("Change a setting first.")).to_be_visible()
    await expect(visit.button("Copy")).to_be_hidden()
    await dialog.get_by_label("Context length").fill("8192")
    await dialog.get_by_label("GPU offload").fill("max")
    await dialog.get_by_label("RoPE base frequency").fill("2")
    await dialog.get_by_label("Disabled GPUs").fill("1")
    await dialog.get_by_label("Stop strings").fill('<"end">')
    await visit.button("Copy").click()
    await expect(dialog.get_by_role("status")).to_have_text("Copied.")
    text = str(await visit.page.evaluate("navigator.clipboard.readText()"))
    assert text.splitlines() == [
        '[models."qwen/qwen3-8b"]',
        'load = { contextLength = 8192, gpu = { ratio = "max", disabledGpus = [1] }, ropeFrequencyBase = 2 }',
        'defaults = { stopStrings = ["<\\"end\\">"] }',
    ]
    profile = Sources(tmp_path).load(text).config.models["qwen/qwen3-8b"]
    assert profile.load == LoadConfig(
        context_length=8192,
        gpu=Gpu(ratio="max", disabled_gpus=(1,)),
        rope_frequency_base=2.0,
    )
    assert profile.defaults == DefaultInference(stop_strings=('<"end">',))
    await visit.page.keyboard.press("Escape")


async def test_any_name_is_quoted_as_toml_does(open_dashboard: OpenDashboard) -> None:
    """Clients of LM Studio name models as they like."""
    visit = await open_dashboard(path="/dashboard#models")
    key = 'a"b\\c\n\t\x00\x1b\x7f\u20ac\U0001f600.d e'
    values = {"load": {"a b": [1, 2.5, 1e-7, 1e21], 'q"': {"x": True}}, "empty": {}}
    text = await visit.page.evaluate(
        "async (given) => (await import('/dashboard/static/toml.js')).profileOf(...given)",
        [key, values],
    )
    assert tomllib.loads(text) == {"models": {key: {"load": values["load"]}}}


async def test_a_mistake_of_lm_studio_leaves_the_settings(open_dashboard: OpenDashboard) -> None:
    """It stands in the dialog, so that another value can be tried."""
    visit = await open_dashboard(path="/dashboard#models")
    dialog = await open_dialog(visit)
    await dialog.get_by_label("Context length").fill("2048")
    visit.tolerated = 503
    await visit.studio.stop()
    await visit.button("Load").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("LM Studio")
    await expect(dialog.get_by_label("Context length")).to_have_value("2048")
    await expect(visit.page.get_by_role("progressbar", name=f"Loading {TITLE}")).to_be_hidden()


@pytest.mark.parametrize("device", LOOKS, ids=["desktop", "phone"])
async def test_axe_finds_nothing_in_the_dialog(open_dashboard: OpenDashboard, device: dict[str, Any]) -> None:
    """With all its parts open, in both colour schemes, and nothing sticks out of the smallest phone."""
    visit = await open_dashboard(path="/dashboard#models", loaded=True, color_scheme="light", **device)
    dialog = await open_dialog(visit)
    await expect(dialog.get_by_label("Load another instance")).to_be_visible()
    await dialog.get_by_label("Context length").fill("8192")
    await check_schemes(visit)
    for width in (device["viewport"]["width"], 360, 320):
        await visit.page.set_viewport_size({"width": width, "height": 700})
        assert await visit.page.evaluate(STICKING_OUT) == []
        assert await dialog.evaluate("dialog => dialog.scrollWidth <= dialog.clientWidth")


async def test_a_document_that_cant_be_read_is_a_sentence(open_dashboard: OpenDashboard) -> None:
    """And the next press of the button asks for it again."""
    visit = await open_dashboard(path="/dashboard#models")
    visit.tolerated = 503
    await visit.page.route("**/openapi.json", lambda route: route.fulfill(status=503), times=1)
    await visit.button(f"Load {TITLE}").click()
    await expect(visit.page.locator("#notices .bad")).to_contain_text("The gateway doesn't answer.")
    await visit.button(f"Load {TITLE}").click()
    await expect(visit.page.get_by_role("dialog")).to_be_visible()
    assert json.dumps(visit.asked).count("openapi.json") == 2
