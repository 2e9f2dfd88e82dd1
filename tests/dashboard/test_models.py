"""The models: listed, loaded, activated, unloaded."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Locator, Route, expect

from tests.dashboard.browsing import MODEL, TITLE, Visit
from tests.dashboard.conftest import OpenDashboard
from tests.support.waiting import PATIENCE_SECONDS

EMBEDDING = "text-embedding-nomic-embed-text-v1.5"

pytestmark = pytest.mark.asyncio(loop_scope="session")


def in_memory(visit: Visit, title: str = TITLE) -> Locator:
    """What a model has in memory, below its name."""
    return visit.page.get_by_role("list", name=f"{title} in memory").get_by_role("listitem")


async def test_models_are_listed(open_dashboard: OpenDashboard) -> None:
    """All in one list: what is in memory stands first, below its model, with what can be done with it."""
    visit = await open_dashboard(path="/dashboard#models", loaded=True)
    models = visit.page.locator("#models-list > li")
    await expect(models).to_have_count(6)
    await expect(models.first).to_contain_text(TITLE)
    await expect(models.first).to_contain_text(f"{MODEL} · language model · 3B · Q4_K_M · 2.0 GB")
    await expect(in_memory(visit)).to_have_count(1)
    await expect(visit.page.locator(".instances:visible")).to_have_count(1)
    await expect(visit.page.get_by_role("status").filter(has_text="6 models · 1 in memory")).to_be_visible()
    await expect(visit.page.locator("#tile-active")).to_contain_text("None")


async def test_a_load_shows_its_progress(open_dashboard: OpenDashboard) -> None:
    """The bar has the value of each progress event."""
    visit = await open_dashboard(path="/dashboard#models")
    await visit.button(f"Load {TITLE}").click()
    await visit.page.get_by_label("Context length").fill("2048")
    await visit.button("Load").click()
    bar = visit.page.get_by_role("progressbar", name=f"Loading {TITLE}")
    await expect(bar).to_be_visible()
    await asyncio.wait_for(visit.pace.waiting.acquire(), PATIENCE_SECONDS)
    seen = []
    for _ in range(3):
        visit.pace.steps.release()
        await asyncio.wait_for(visit.pace.waiting.acquire(), PATIENCE_SECONDS)
        await expect(bar).to_have_attribute("value", f"{(len(seen) + 1) / 20:g}")
        seen.append(await bar.get_attribute("value"))
    assert seen == ["0.05", "0.1", "0.15"]
    await expect(visit.page.get_by_text("Loading, 15 %")).to_be_visible()
    visit.pace.finish()
    await expect(bar).to_be_hidden()
    row = in_memory(visit)
    await expect(row).to_contain_text("2,048 tokens of context")
    await expect(row).to_contain_text("Active")
    await expect(visit.page.locator("#tile-active")).to_contain_text(TITLE)


async def test_an_earlier_load_is_shown(open_dashboard: OpenDashboard) -> None:
    """A page that is opened during a load shows it."""
    visit = await open_dashboard(path="/dashboard#models")
    load = asyncio.create_task(visit.post("/admin/models/load", modelKey=MODEL))
    for _ in range(2):
        await asyncio.wait_for(visit.pace.waiting.acquire(), PATIENCE_SECONDS)
        visit.pace.steps.release()
    await visit.page.reload()
    await expect(visit.page.get_by_role("progressbar", name=f"Loading {TITLE}")).to_be_visible()
    visit.pace.finish()
    assert (await load)["status"] == "loaded"


async def test_a_load_can_be_cancelled(open_dashboard: OpenDashboard) -> None:
    """By the button beside its bar."""
    visit = await open_dashboard(path="/dashboard#models")
    visit.tolerated = 409
    await visit.button(f"Load {TITLE}").click()
    await visit.button("Load").click()
    await asyncio.wait_for(visit.pace.waiting.acquire(), PATIENCE_SECONDS)
    await visit.button(f"Cancel loading {TITLE}").click()
    await expect(visit.page.locator("#notices")).to_contain_text("cancelled")
    await expect(visit.page.get_by_role("progressbar", name=f"Loading {TITLE}")).to_be_hidden()
    await expect(visit.button(f"Load {TITLE}")).to_be_visible()
    await expect(visit.page.locator("#notices .bad")).to_have_count(0)


async def test_activating_and_unloading(open_dashboard: OpenDashboard) -> None:
    """The active model is shown at once, until it is unloaded."""
    visit = await open_dashboard(path="/dashboard#models", loaded=True)
    await visit.button(f"Activate {TITLE}").click()
    await expect(visit.page.locator("#tile-active")).to_contain_text(TITLE)
    await expect(visit.page.locator("#tile-active")).to_contain_text("In memory")
    await expect(visit.button(f"Activate {TITLE}")).to_be_hidden()
    await visit.button(f"Unload {TITLE}").click()
    await expect(visit.page.locator("#models-count")).to_have_text("6 models · none in memory")
    await expect(visit.page.locator("#tile-active")).to_contain_text("None")


async def test_an_embedding_model_answers_no_chats(open_dashboard: OpenDashboard) -> None:
    """The active embedding model is not shown as the model for chats."""
    visit = await open_dashboard(path="/dashboard#models", loaded=True)
    await visit.post("/admin/models/activate", modelKey=EMBEDDING)
    await expect(visit.page.locator("#tile-active .big")).to_have_text("None")
    await expect(visit.page.locator("#tile-active .sub")).to_contain_text("Embeddings: Nomic Embed Text v1.5")


async def test_a_second_instance_is_loaded_only_if_asked_for(open_dashboard: OpenDashboard) -> None:
    """It takes as much memory again."""
    visit = await open_dashboard(path="/dashboard#models", loaded=True)
    visit.pace.finish()
    another = visit.page.get_by_label("Load another instance")
    await visit.button(f"Load {TITLE}").click()
    await expect(visit.page.get_by_text("It is in memory already.")).to_be_visible()
    await visit.button("Load").click()
    notices = visit.page.locator("#notices")
    await expect(notices).to_contain_text(f"{MODEL} is loaded already and is now the active model.")
    await expect(in_memory(visit)).to_have_count(1)
    await visit.button(f"Load {TITLE}").click()
    await another.check()
    await visit.button("Load").click()
    await expect(in_memory(visit)).to_have_count(2)
    await visit.button("Load Qwen2.5 7B Instruct").click()
    await expect(visit.button("Cancel")).to_be_visible()
    await expect(another).to_be_hidden()


async def test_a_smaller_context_is_shown_until_it_is_dismissed(open_dashboard: OpenDashboard) -> None:
    """LM Studio shrinks a context that doesn't fit."""
    too_long = {MODEL: {"load": {"contextLength": 262144}}}
    visit = await open_dashboard(path="/dashboard#models", models=too_long)
    visit.pace.finish()
    await visit.button(f"Load {TITLE}").click()
    await visit.button("Load").click()
    notice = visit.page.locator("#notices .warn")
    await expect(notice).to_contain_text("LM Studio applied a context of 131,072 tokens instead of 262,144.")
    row = in_memory(visit)
    await expect(row).to_contain_text("131,072 tokens of context")
    await notice.get_by_role("button").click()
    await expect(notice).to_be_hidden()


async def test_a_just_in_time_load_is_shown(open_dashboard: OpenDashboard) -> None:
    """LM Studio loads a requested model itself, without an event."""
    visit = await open_dashboard(path="/dashboard#models")
    await expect(visit.page.locator("#models-count")).to_have_text("6 models · none in memory")
    visit.pace.finish()
    async with visit.chat(max_tokens=3) as response:
        await response.read()
    await expect(in_memory(visit)).to_have_count(1)


async def test_a_refusal_is_a_sentence(open_dashboard: OpenDashboard) -> None:
    """An unload that fails says why, until the notice is closed."""
    visit = await open_dashboard(path="/dashboard#models", loaded=True)
    await expect(visit.button(f"Unload {TITLE}")).to_be_visible()
    visit.tolerated = 503
    await visit.studio.stop()
    await visit.button(f"Unload {TITLE}").click()
    notice = visit.page.locator("#notices .bad")
    await expect(notice).to_contain_text("LM Studio")
    await notice.get_by_role("button").click()
    await expect(notice).to_be_hidden()


async def test_an_lm_studio_that_answers_late_is_waited_for(open_dashboard: OpenDashboard) -> None:
    """The list says so until the first answer. Which model is active the gateway knows itself."""
    visit = await open_dashboard(path="/docs", loaded=True)
    await visit.post("/admin/models/activate", modelKey=MODEL)
    go_on = asyncio.Event()

    async def late(route: Route) -> None:
        await go_on.wait()
        await route.fulfill(status=503, json={"error": "LM Studio doesn't answer."})

    visit.tolerated = 503
    await visit.page.route("**/admin/models", late)
    await visit.open("/dashboard#models")
    asking = visit.page.get_by_text("Asking LM Studio…")
    await expect(asking).to_be_visible()
    await expect(visit.page.locator("#tile-active .big")).to_have_text(MODEL)
    go_on.set()
    await expect(visit.page.locator("#models-mistake")).to_have_text("LM Studio doesn't answer.")
    await expect(asking).to_be_hidden()
    await expect(visit.page.locator("#tile-active .big")).to_have_text(MODEL)
    await visit.page.unroute_all(behavior="wait")


async def test_an_unreachable_lm_studio_is_shown(open_dashboard: OpenDashboard) -> None:
    visit = await open_dashboard()
    await expect(visit.page.get_by_text("Reachable", exact=True)).to_be_visible()
    visit.tolerated = 503
    await visit.studio.stop()
    await visit.page.reload()
    await expect(visit.page.get_by_text("Not reachable", exact=True)).to_be_visible()
    await visit.go_to("Models")
    await expect(visit.page.locator("#models-mistake")).not_to_be_empty()
