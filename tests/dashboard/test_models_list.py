"""The list of models: found, counted, named, and how long each stays in memory."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Locator, Route, expect

from tests.dashboard.browsing import DESKTOP, MODEL, PHONE, TITLE, Visit, check_schemes, check_widths
from tests.dashboard.conftest import OpenDashboard
from tests.dashboard.test_residency import instance, rows, show

LOOKS = [DESKTOP, pytest.param(PHONE, marks=pytest.mark.long)]
ALIASES = {MODEL: {"aliases": ["gpt-4o", "claude-*"]}}
HOUR_MS = 3_600_000

pytestmark = pytest.mark.asyncio(loop_scope="session")


def view(visit: Visit) -> Locator:
    return visit.page.locator("#view-models")


async def many(visit: Visit, number: int) -> None:
    """Have LM Studio list so many models on disk instead of its own."""

    async def answer(route: Route) -> None:
        response = await route.fetch()
        models = await response.json()
        one = models["downloaded"][0]
        models["downloaded"] = [
            {**one, "modelKey": f"maker/model-{n}", "displayName": f"Model {n:04}"} for n in range(number)
        ]
        await route.fulfill(json=models)

    await visit.page.route("**/admin/models", answer)
    await visit.page.reload()


async def test_a_model_is_found_by_what_people_call_it(open_dashboard: OpenDashboard) -> None:
    """By name, key, maker, alias or quantization, in any order; a screen reader is told how many are left."""
    visit = await open_dashboard(path="/dashboard#models", loaded=True, models=ALIASES)
    models, find = visit.page.locator("#models-list > li"), view(visit).get_by_label("Search")
    count = view(visit).get_by_role("status")
    await expect(count).to_have_text("6 models · 1 in memory")
    for words, titles in {
        "7b qwen": ["Qwen2.5 7B Instruct", "Qwen2.5 VL 7B Instruct"],
        "OPENAI/": ["OpenAI's gpt-oss 20B"],
        "gpt-4o": [TITLE],
        "mxfp4": ["OpenAI's gpt-oss 20B"],
    }.items():
        await find.fill(words)
        await expect(models.locator("> .row .name")).to_have_text(titles)
        await expect(count).to_have_text(f"{len(titles)} of 6 models · 1 in memory")
    await find.fill("no such model")
    await expect(visit.page.get_by_text("No model matches.")).to_be_visible()
    await find.fill("")
    await view(visit).get_by_label("List").select_option("in memory")
    await expect(models.locator("> .row .name")).to_have_text([TITLE])
    await view(visit).get_by_label("List").select_option("embedding models")
    await expect(models.locator("> .row .name")).to_have_text(["Nomic Embed Text v1.5"])


async def test_other_names_and_pins_are_shown(open_dashboard: OpenDashboard) -> None:
    """Aliases, and the pin also of a model that isn't in memory."""
    visit = await open_dashboard(path="/dashboard#models", models=ALIASES)
    model = visit.page.locator("#models-list > li").filter(has_text=TITLE)
    await expect(model).to_contain_text("Also called gpt-4o, claude-*")
    await expect(visit.page.locator(".aliases:visible")).to_have_count(1)
    await expect(visit.page.locator(".badge.pinned:visible")).to_have_count(0)

    async def pin(route: Route) -> None:
        response = await route.fetch()
        models = await response.json()
        for one in models["downloaded"]:
            one["pinned"] = one["modelKey"] == MODEL
        await route.fulfill(json=models)

    await visit.page.route("**/admin/models", pin)
    await visit.page.reload()
    await expect(model.locator(".badge:visible")).to_have_text(["Pinned"])
    await expect(visit.page.locator(".badge.pinned:visible")).to_have_count(1)
    await visit.page.unroute_all(behavior="wait")


async def test_what_waits_for_a_model_is_counted_once(open_dashboard: OpenDashboard) -> None:
    """Of several instances none has a line of its own."""
    visit = await open_dashboard(path="/dashboard#models", loaded=True)
    visit.studio.simulator.load(MODEL, "second")
    await visit.page.reload()
    await expect(rows(visit)).to_have_count(2)
    await show(visit, instance(ours=4), instance(instance="second", ours=1), waiting=2)
    model = view(visit).locator("#models-list > li").first
    await expect(model.locator(".about")).to_contain_text("· 2 waiting")
    await expect(rows(visit).locator(".use")).to_have_text(
        [f"{MODEL} · 4 of 4 slots in use", "second · 1 of 4 slots in use"]
    )
    await visit.page.unroute_all(behavior="wait")


@pytest.mark.parametrize(
    ("facts", "limit_ms", "words"),
    [
        ({"origin": "on-demand", "idleMs": 600_000}, HOUR_MS, "unloads in 50 min without a request"),
        ({"origin": "outside", "idleMs": 3_590_000}, HOUR_MS, "unloads in less than a minute without"),
        ({"origin": "on-demand", "ours": 1}, HOUR_MS, "unloads when idle for 1 h 0 min"),
        # A request around the gateway may have used it since.
        ({"origin": "outside", "idleMs": 2 * HOUR_MS}, HOUR_MS, "unloads when idle for 1 h 0 min"),
        ({"origin": "loaded"}, None, "stays until it is unloaded"),
        ({"origin": "loaded", "pinned": True}, None, "stays until it is unloaded"),
    ],
)
async def test_the_time_until_it_goes(
    open_dashboard: OpenDashboard, facts: dict[str, object], limit_ms: int | None, words: str
) -> None:
    """As far as the gateway knows: its own idle time, or LM Studio's TTL."""
    visit = await open_dashboard(path="/dashboard#models", loaded=True)

    async def limit(route: Route) -> None:
        response = await route.fetch()
        models = await response.json()
        # The list and the report of the line, which `show` answers, agree.
        models["loaded"][0] |= {**facts, "running": facts.get("ours", 0), "idleLimitMs": limit_ms}
        await route.fulfill(json=models)

    await visit.page.route("**/admin/models", limit)
    await visit.page.reload()
    await show(visit, instance(**facts))
    await expect(rows(visit).locator(".sub")).to_contain_text(words)
    await visit.page.unroute_all(behavior="wait")


async def test_a_model_with_a_ttl_says_when_it_goes(open_dashboard: OpenDashboard) -> None:
    """The gateway itself reports it: LM Studio unloads what was loaded with one."""
    visit = await open_dashboard(path="/dashboard#models")
    visit.pace.finish()
    await visit.post("/admin/models/load", modelKey=MODEL, ttlSeconds=7200)
    await expect(rows(visit).locator(".sub")).to_contain_text("loaded through the gateway · unloads")


async def test_two_hundred_models(open_dashboard: OpenDashboard) -> None:
    """All can be reached, and the page isn't slow with ten times as many."""
    visit = await open_dashboard(path="/dashboard#models", loaded=True)
    await many(visit, 200)
    models, count = visit.page.locator("#models-list > li"), visit.page.locator("#models-count")
    # What is in memory and not on disk has a row of its own.
    await view(visit).get_by_label("List").select_option("language models")
    await view(visit).get_by_label("Search").fill("model 0199")
    await expect(models).to_have_count(1)
    await expect(visit.button("Load Model 0199")).to_be_visible()
    await visit.page.unroute_all(behavior="wait")
    await many(visit, 1999)
    await expect(count).to_have_text("2,000 models · 1 in memory · the first 200 are shown")
    await expect(models).to_have_count(200)
    await expect(models.first).to_contain_text(f"{MODEL} · language model")
    await expect(models.first).to_contain_text("not on disk")
    await expect(visit.button(f"Load {TITLE}")).to_be_hidden()
    await visit.page.unroute_all(behavior="wait")


async def test_the_focus_stays_when_the_order_changes(open_dashboard: OpenDashboard) -> None:
    """A model that comes into memory moves to the top, under the finger of whoever was about to load it."""
    visit = await open_dashboard(path="/dashboard#models")
    visit.pace.finish()
    load = visit.button(f"Load {TITLE}")
    await load.focus()
    await visit.post("/admin/models/load", modelKey=MODEL, activate=False)
    await expect(visit.page.locator("#models-list > li").first).to_contain_text(TITLE)
    await expect(visit.button(f"Unload {TITLE}")).to_be_visible()
    await expect(load).to_be_focused()


async def test_without_the_scope_observe_there_is_the_list(open_dashboard: OpenDashboard) -> None:
    """It may load and unload. The line isn't asked for, because that would be refused."""
    visit = await open_dashboard(path="/dashboard#models", api_key="the owner's key", loaded=True)
    await visit.log_in(await visit.make_key("loader", scopes=["models"]))
    await expect(visit.page.locator("#models-count")).to_have_text("6 models · 1 in memory")
    await expect(rows(visit)).to_contain_text("4 slots · idle")
    await expect(visit.page.locator("#models-swap")).to_be_hidden()
    await visit.button(f"Unload {TITLE}").click()
    await expect(visit.page.locator("#models-count")).to_have_text("6 models · none in memory")
    visit.pace.finish()
    await visit.button(f"Load {TITLE}").click()
    await visit.button("Load").click()
    await expect(visit.page.locator("#models-count")).to_have_text("6 models · 1 in memory")
    assert not [url for url in visit.asked if "/debug/" in url]


@pytest.mark.parametrize("device", LOOKS, ids=["desktop", "phone"])
async def test_axe_finds_nothing_in_the_list(open_dashboard: OpenDashboard, device: dict[str, Any]) -> None:
    """With aliases, several instances, a load and a search, in both colour schemes and on small screens."""
    visit = await open_dashboard(path="/dashboard#models", loaded=True, models=ALIASES, **device)
    visit.studio.simulator.load(MODEL, "second")
    await visit.button("Load Qwen3 8B").click()
    await visit.button("Load").click()
    await expect(visit.page.get_by_role("progressbar", name="Loading Qwen3 8B")).to_be_visible()
    await visit.page.reload()
    await expect(visit.button("Unload second")).to_be_visible()
    await view(visit).get_by_label("Search").fill("b")
    await check_schemes(visit)
    await check_widths(visit, 1280, 768, 390, 320)
