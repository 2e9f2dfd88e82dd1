"""The models in memory: what runs on them, how long they stay, and what an unload does to it."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Locator, Route, expect

from lmgateway.observe.events import ModelDrainEnd, ModelDrainStart
from lmgateway.web.state import EVENTS
from tests.dashboard.browsing import (
    DESKTOP,
    MODEL,
    PHONE,
    STICKING_OUT,
    TITLE,
    Visit,
    check_schemes,
    check_widths,
    violations,
)
from tests.dashboard.conftest import OpenDashboard
from tests.dashboard.test_queue import waiting_request

LOOKS = [DESKTOP, pytest.param(PHONE, marks=pytest.mark.long)]
OTHER = "qwen2.5-7b-instruct"
SWAP = {"from": MODEL, "to": OTHER, "state": "draining", "sinceMs": 12_000, "etaMs": 40_000}

pytestmark = pytest.mark.asyncio(loop_scope="session")


def rows(visit: Visit) -> Locator:
    return visit.page.locator(".instances").get_by_role("listitem")


def model_of(visit: Visit) -> Locator:
    return visit.page.locator("#models-list > li").first


def instance(**facts: object) -> dict[str, Any]:
    usual = {"box": "lmstudio", "instance": MODEL, "model": MODEL, "state": "resident", "slots": 4, "ours": 0}
    return {**usual, "outside": 0, "idleMs": 0, "pinned": False, "origin": "outside", **facts}


async def show(visit: Visit, *instances: dict[str, Any], waiting: int = 0, swap: object = None) -> None:
    """Have the page show these instances, and so many waiting requests."""
    in_line = [waiting_request(number) for number in range(waiting)]
    # While something runs, the page asks again each second. Otherwise a list of models that it asked for,
    # and that comes late on a busy machine, would have the last word.
    runs = [{"requestId": "another", "gpuMs": 0, "phase": "generating"}]
    report = {"instances": instances, "waiting": in_line, "running": runs, "keys": [], "swap": swap}

    async def answer(route: Route) -> None:
        await route.fulfill(json=report)

    await expect(rows(visit).first).to_be_visible()
    await visit.page.unroute("**/debug/queue")
    await visit.page.route("**/debug/queue", answer)
    await visit.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


async def test_what_runs_on_a_model(open_dashboard: OpenDashboard) -> None:
    """As the gateway counts it, and without the page being loaded again."""
    visit = await open_dashboard(path="/dashboard#models", loaded=True, models={MODEL: {"slots": 1}})
    in_memory = rows(visit)
    async with visit.chat():
        await expect(in_memory.locator(".use")).to_have_text("1 of 1 slot in use")
    await expect(in_memory.locator(".use")).to_have_text("1 slot · idle")
    await expect(in_memory).to_contain_text("loaded outside the gateway")


@pytest.mark.parametrize(
    ("facts", "waiting", "use"),
    [
        ({"ours": 3}, 2, "3 of 4 slots in use · 2 waiting"),
        ({"idleMs": 3_900_000}, 0, "4 slots · idle for 1 h 5 min"),
        ({"idleMs": 119_000}, 0, "4 slots · idle for 1 min"),
        ({"ours": 3, "slots": 10**9}, 0, "3 running"),
        ({"slots": 10**9}, 0, "idle"),
    ],
)
async def test_slots_requests_and_idle_time(
    open_dashboard: OpenDashboard, facts: dict[str, object], waiting: int, use: str
) -> None:
    """While the line is off there is no number of slots."""
    visit = await open_dashboard(path="/dashboard#models", loaded=True)
    await show(visit, instance(**facts), waiting=waiting)
    await expect(rows(visit).locator(".use")).to_have_text(use)
    await visit.page.unroute_all(behavior="wait")


async def test_origin_pin_and_drain(open_dashboard: OpenDashboard) -> None:
    """Each in words. A drain that ends leaves no mark."""
    visit = await open_dashboard(path="/dashboard#models", loaded=True)
    badges = model_of(visit).locator(".badge:visible")
    for origin, words in {
        "on-demand": "loaded for a request",
        "loaded": "loaded through the gateway",
        "outside": "loaded outside the gateway",
    }.items():
        await show(visit, instance(origin=origin))
        await expect(rows(visit).locator(".sub")).to_contain_text(words)
    await show(visit, instance(origin="on-demand", state="draining", ours=2))
    await expect(badges).to_have_text(["Draining"])
    await show(visit, instance(origin="loaded", pinned=True))
    await expect(badges).to_have_text(["Pinned"])
    await visit.page.unroute_all(behavior="wait")


async def test_a_swap_says_when_it_is_done(open_dashboard: OpenDashboard) -> None:
    """And how long it has taken until now."""
    visit = await open_dashboard(path="/dashboard#models", loaded=True)
    line = visit.page.locator("#models-swap")
    await show(visit, instance(state="draining", ours=2), swap=SWAP)
    await expect(line).to_have_text(
        f"Replacing {TITLE} with Qwen2.5 7B Instruct · waiting for its running requests for 12.0 s · "
        "done in about 40.0 s"
    )
    await show(visit, instance(), swap={**SWAP, "state": "loading", "etaMs": None})
    await expect(line).to_have_text(f"Replacing {TITLE} with Qwen2.5 7B Instruct · loading for 12.0 s")
    await show(visit, instance())
    await expect(line).to_be_hidden()
    await visit.page.unroute_all(behavior="wait")


async def test_a_drain_is_shown_at_once(open_dashboard: OpenDashboard) -> None:
    """Its event is a sentence in the log, and has the page ask for the line."""
    visit = await open_dashboard(path="/dashboard#models", api_key="a key", loaded=True)
    # It isn't of those that hold what people wrote, which need another scope.
    await visit.log_in(await visit.make_key("ann", scopes=["models", "observe"]))
    await expect(rows(visit)).to_have_count(1)
    await expect(visit.page.get_by_text("Live", exact=True)).to_be_visible()
    events = visit.gateway.app[EVENTS]
    asked = "**/debug/queue"
    async with visit.page.expect_response(asked):
        events.publish(ModelDrainStart(model_key=MODEL, instance_id=MODEL, for_=OTHER, running=2))
    async with visit.page.expect_response(asked):
        events.publish(ModelDrainEnd(model_key=MODEL, instance_id=MODEL, outcome="revoked"))
    await visit.go_to("Log")
    log = visit.page.get_by_role("log").get_by_role("listitem")
    await expect(log.filter(has_text="model_drain_start")).to_contain_text(
        f"{MODEL} gets no new requests · 2 running · to make room for {OTHER}"
    )
    await expect(log.filter(has_text="model_drain_end")).to_contain_text(f"{MODEL} stays")


async def offer(visit: Visit, *names: str) -> None:
    """Have the API's document say that an unload may have only these of the fields that end requests."""
    kinds = {"force": {"type": "boolean"}, "drainSeconds": {"type": "integer", "minimum": 0}}

    async def answer(route: Route) -> None:
        response = await route.fetch()
        document = await response.json()
        operation = document["paths"]["/admin/models/unload"]["post"]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        fields = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"]
        for name, kind in kinds.items():
            fields.pop(name, None)
            if name in names:
                fields[name] = {"anyOf": [kind, {"type": "null"}], "default": None}
        await route.fulfill(json=document)

    await visit.page.route("**/openapi.json", answer)


async def unloading(visit: Visit) -> list[Any]:
    """The bodies of the unloads that the page asks for, none of which is carried out."""
    bodies: list[Any] = []

    async def answer(route: Route) -> None:
        bodies.append(route.request.post_data_json)
        await route.fulfill(json={"status": "unloaded", "message": "Asked for."})

    await visit.page.route("**/admin/models/unload", answer)
    return bodies


async def test_unloading_a_busy_model_needs_a_confirmation(open_dashboard: OpenDashboard) -> None:
    """Where the API can't wait for its requests, they would be aborted."""
    visit = await open_dashboard(path="/dashboard#models", loaded=True)
    await offer(visit)
    bodies = await unloading(visit)
    async with visit.chat():
        await visit.button(f"Unload {TITLE}").click()
        dialog = visit.page.get_by_role("dialog", name=f"Unload {TITLE}?")
        await expect(dialog).to_contain_text("1 request is running on it and would be aborted.")
        await expect(dialog.get_by_role("radio")).to_have_count(0)
        await visit.button("Cancel").click()
        await expect(dialog).to_be_hidden()
        await expect(visit.button(f"Unload {TITLE}")).to_be_focused()
        assert bodies == []
        await visit.button(f"Unload {TITLE}").click()
        await visit.button("Unload").click()
        await expect(visit.page.get_by_text("Asked for.")).to_be_visible()
    assert bodies == [{"modelKey": MODEL, "instanceId": MODEL}]
    await visit.page.unroute_all(behavior="wait")


@pytest.mark.parametrize(
    ("seconds", "choice", "sent"),
    [
        ("", None, {}),
        ("5", None, {"drainSeconds": 5}),
        ("", "End them now", {"force": True}),
        ("5", "End them now", {"force": True}),
    ],
)
async def test_a_busy_model_is_drained_or_cut_off(
    open_dashboard: OpenDashboard, seconds: str, choice: str | None, sent: dict[str, object]
) -> None:
    """By default it waits as long as the gateway does; only what is chosen is sent."""
    visit = await open_dashboard(path="/dashboard#models", loaded=True)
    await offer(visit, "force", "drainSeconds")
    bodies = await unloading(visit)
    async with visit.chat():
        await visit.button(f"Unload {TITLE}").click()
        dialog = visit.page.get_by_role("dialog", name=f"Unload {TITLE}?")
        await expect(dialog).to_contain_text("1 request is running on it.")
        await dialog.get_by_label("For at most so many seconds").fill(seconds)
        if choice is not None:
            await dialog.get_by_label(choice).check()
            await expect(dialog.get_by_label("For at most so many seconds")).to_be_hidden()
        await visit.button("Unload").click()
        await expect(visit.page.get_by_text("Asked for.")).to_be_visible()
    assert bodies == [{"modelKey": MODEL, "instanceId": MODEL, **sent}]
    await visit.page.unroute_all(behavior="wait")


async def test_an_idle_model_is_unloaded_at_once(open_dashboard: OpenDashboard) -> None:
    """Also if requests run on another instance of its model."""
    visit = await open_dashboard(path="/dashboard#models", loaded=True)
    visit.studio.simulator.load(MODEL, "second")
    await visit.page.reload()
    async with visit.chat():
        await visit.button("Unload second").click()
        await expect(visit.button("Unload second")).to_be_hidden()
    await expect(visit.page.get_by_role("dialog")).to_have_count(0)


@pytest.mark.parametrize("device", LOOKS, ids=["desktop", "phone"])
async def test_axe_finds_nothing_in_the_models(open_dashboard: OpenDashboard, device: dict[str, Any]) -> None:
    """In a swap, and in the dialog of an unload, in both colour schemes; nothing sticks out."""
    visit = await open_dashboard(path="/dashboard#models", loaded=True, color_scheme="light", **device)
    await offer(visit, "force", "drainSeconds")
    facts = {"pinned": True, "state": "draining", "ours": 2, "origin": "on-demand"}
    await show(visit, instance(**facts), waiting=2, swap=SWAP)
    await expect(model_of(visit).locator(".badge:visible")).to_have_count(2)
    await check_schemes(visit)
    await check_widths(visit, device["viewport"]["width"], 360, 320)
    await visit.button(f"Unload {TITLE}").click()
    await expect(visit.page.get_by_role("dialog")).to_be_visible()
    assert await violations(visit.page) == []
    assert await visit.page.evaluate(STICKING_OUT) == []
    await visit.page.unroute_all(behavior="wait")


async def test_a_busy_model_drains(open_dashboard: OpenDashboard) -> None:
    """The gateway itself waits, which the page shows; when the answer is complete, the model is gone."""
    visit = await open_dashboard(path="/dashboard#models", loaded=True)
    async with visit.chat() as answer:
        await visit.button(f"Unload {TITLE}").click()
        await visit.button("Unload").click()
        await expect(rows(visit).locator(".badge:visible")).to_have_text(["Draining"])
        visit.pace.finish()
        assert (await answer.read()).endswith(b"data: [DONE]\n\n")
    await expect(visit.page.get_by_text(f"Unloaded {MODEL}.")).to_be_visible()
    await expect(visit.button(f"Unload {TITLE}")).to_be_hidden()


async def test_a_busy_model_stays_if_it_takes_too_long(open_dashboard: OpenDashboard) -> None:
    """The gateway's sentence says how many requests run; after that the model can be unloaded by force."""
    visit = await open_dashboard(path="/dashboard#models", loaded=True)
    visit.tolerated = 409
    async with visit.chat():
        await visit.button(f"Unload {TITLE}").click()
        await visit.page.get_by_label("For at most so many seconds").fill("0.1")
        await visit.button("Unload").click()
        await expect(visit.page.get_by_text(f"1 request still runs on {MODEL} after 0.1 s")).to_be_visible()
        await expect(rows(visit).locator(".badge:visible")).to_have_count(0)
        await visit.button(f"Unload {TITLE}").click()
        await visit.page.get_by_label("End them now").check()
        await visit.button("Unload").click()
        await expect(visit.button(f"Unload {TITLE}")).to_be_hidden()
    [unload] = visit.studio.simulator.ledger.unloads
    assert (unload.reason, unload.busy) == ("asked", 1)
