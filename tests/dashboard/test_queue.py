"""The line: who runs, who waits, the slots, and each key's part of the GPU's time."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest
from playwright.async_api import Locator, Route, expect

from tests.dashboard.browsing import DESKTOP, MODEL, PHONE, STICKING_OUT, Visit, violations
from tests.dashboard.conftest import OpenDashboard
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.asyncio(loop_scope="session")
ONE_SLOT = {MODEL: {"slots": 1}}
LOOKS = [DESKTOP, pytest.param(PHONE, marks=pytest.mark.long)]


def rows(visit: Visit, name: str) -> Locator:
    return visit.page.get_by_role("list", name=name, exact=True).get_by_role("listitem")


async def test_a_request_waits_and_runs(open_dashboard: OpenDashboard) -> None:
    """The page shows what it waits for, and that it runs when the slot is free."""
    visit = await open_dashboard(loaded=True, models=ONE_SLOT)
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(visit.chat(max_tokens=3))
        second = asyncio.create_task(stack.enter_async_context(visit.chat(max_tokens=3)))
        waiting = rows(visit, "Waiting in line")
        await expect(waiting).to_have_count(1)
        await expect(waiting).to_contain_text(MODEL)
        await expect(waiting).to_contain_text("Next in line")
        await expect(waiting).to_contain_text("waits for a free slot")
        await expect(waiting.locator(".who")).to_have_text("127.0.0.1")
        await expect(rows(visit, "Requests in flight")).to_have_count(1)
        await expect(rows(visit, "Slots")).to_contain_text("1 of 1 slot in use")
        await expect(rows(visit, "Time of the GPU by key")).to_contain_text("1 running · 1 waiting")
        await expect(visit.page.locator("#tile-running")).to_contain_text("1 in line")
        visit.pace.go_on(2)
        await first.read()
        await asyncio.wait_for(second, PATIENCE_SECONDS)
        await expect(waiting).to_have_count(0)
        await expect(rows(visit, "Requests in flight")).to_contain_text("Generating")
    await visit.go_to("Log")
    events = visit.page.get_by_role("log").get_by_role("listitem")
    await expect(events.filter(has_text="request_queued")).to_contain_text(
        "in line · for a free slot · 0 ahead"
    )
    await expect(events.filter(has_text="request_dispatched")).to_contain_text("on lmstudio after")


async def test_a_waiting_request_is_cancelled(open_dashboard: OpenDashboard) -> None:
    """By the keyboard too; the focus isn't lost, and the client gets an error."""
    visit = await open_dashboard(loaded=True, models=ONE_SLOT)
    async with visit.chat() as first:
        second = asyncio.create_task(status_of_chat(visit))
        waiting = rows(visit, "Waiting in line")
        await expect(waiting).to_have_count(1)
        await waiting.get_by_role("button").focus()
        await visit.page.keyboard.press("Enter")
        await visit.tab_to("Cancel request")
        await visit.page.keyboard.press("Enter")
        await expect(visit.page.get_by_text("127.0.0.1's request was cancelled.")).to_be_visible()
        await expect(waiting).to_have_count(0)
        await expect(visit.page.get_by_role("heading", name="In flight")).to_be_focused()
        assert await asyncio.wait_for(second, PATIENCE_SECONDS) == 400
        assert first.status == 200


async def status_of_chat(visit: Visit, key: str = "") -> int:
    async with visit.chat(key) as response:
        return response.status


async def test_a_key_cancels_only_its_own(open_dashboard: OpenDashboard) -> None:
    """Without the scope admin, another key's row has no button."""
    visit = await open_dashboard(api_key="a key", loaded=True, models=ONE_SLOT)
    alice = await visit.make_key("alice", scopes=["inference", "observe"])
    bob = await visit.make_key("bob")
    await visit.log_in(alice)
    async with visit.chat(alice):
        tasks = [asyncio.create_task(status_of_chat(visit, key)) for key in (alice, bob)]
        waiting = rows(visit, "Waiting in line")
        await expect(waiting).to_have_count(2)
        await expect(waiting.filter(has_text="alice").get_by_role("button")).to_have_count(1)
        await expect(waiting.filter(has_text="bob").get_by_role("button")).to_have_count(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def waiting_request(number: int, **facts: object) -> dict[str, Any]:
    request = {
        "requestId": f"w{number}",
        "key": "bob",
        "class": "interactive",
        "model": MODEL,
        "reason": "slot",
    }
    return request | {"ahead": number, "waitedMs": 61_000 + number, "etaMs": 9_400, **facts}


def account(key: str, **facts: object) -> dict[str, Any]:
    return {"key": key, "share": 1, "running": 0, "waiting": 0, "gpuMs": 0, "behindMs": 0, **facts}


REPORT: dict[str, Any] = {
    "instances": [
        {"box": "lmstudio", "instance": MODEL, "model": MODEL, "state": "resident", "slots": 4, "ours": 3}
        | {"outside": 1, "idleMs": 0, "pinned": False, "origin": "outside"},
        {"box": "lmstudio", "instance": "nomic", "model": "nomic", "state": "loading", "slots": 1, "ours": 0}
        | {"outside": 0, "idleMs": 0, "pinned": False, "origin": "outside"},
    ],
    "waiting": [
        waiting_request(1),
        waiting_request(0, reason="key_limit", etaMs=400),
        waiting_request(2, reason="context", etaMs=None, user="ann", **{"class": "background"}),
    ],
    "running": [
        {"requestId": "gone", "key": "bob", "model": MODEL, "box": "lmstudio", "phase": "lingering"}
        | {"gpuMs": 2_300}
    ],
    "keys": [
        account("alice", share=2, running=2, waiting=1, gpuMs=300_000),
        account("app", user="ann", gpuMs=75_000, behindMs=75_000),
        account("owner", address="192.168.1.20"),
        account("(outside)", share=0, running=1, gpuMs=25_000),
    ],
    "swap": None,
}


async def show(visit: Visit, report: dict[str, Any]) -> None:
    """Have the page show this report."""

    async def answer(route: Route) -> None:
        await route.fulfill(json=report)

    await visit.page.route("**/debug/queue", answer)
    await visit.page.reload()
    await expect(rows(visit, "Waiting in line").first).to_be_visible()


async def test_the_reasons_are_words(open_dashboard: OpenDashboard) -> None:
    """The next one is the first; a request whose client left runs on, without a button."""
    visit = await open_dashboard(loaded=True)
    await show(visit, REPORT)
    waiting = rows(visit, "Waiting in line")
    await expect(waiting.locator(".phase")).to_have_text(
        [
            "Next in line · about to run · waits for another request of its key",
            "Place 2 of 3 · about 9.4 s more · waits for a free slot",
            "Place 3 of 3 · waits for room in the context",
        ]
    )
    await expect(waiting.locator(".who")).to_have_text(["bob", "bob", "bob · ann"])
    await expect(waiting.locator(".sub")).to_have_text(
        ["waited 1 min 1 s", "waited 1 min 1 s", "waited 1 min 1 s · background"]
    )
    running = rows(visit, "Requests in flight")
    await expect(running).to_contain_text("Its client left; LM Studio still processes its prompt")
    await expect(running.get_by_role("button")).to_have_count(0)
    await visit.page.unroute_all(behavior="wait")


async def test_slots_and_shares(open_dashboard: OpenDashboard) -> None:
    """As words and as bars, which a screen reader reads with their names."""
    visit = await open_dashboard(loaded=True)
    await show(visit, REPORT)
    await expect(rows(visit, "Slots").locator(".hint")).to_have_text(
        ["3 of 4 slots in use · 1 by others", "0 of 1 slot in use · loading"]
    )
    shares = rows(visit, "Time of the GPU by key")
    await expect(shares.locator(".name")).to_have_text(
        ["alice", "app · ann", "owner · 192.168.1.20", "Around the gateway"]
    )
    await expect(shares.locator(".hint")).to_have_text(
        [
            "2 running · 1 waiting · 5 min of the GPU · share 2",
            "1 min 15 s of the GPU · 1 min 15 s behind",
            "0 ms of the GPU",
            "1 running · 25.0 s of the GPU · others in LM Studio, and loads for which no request waits",
        ]
    )
    bar = visit.page.get_by_role("progressbar", name="Part of alice in the GPU's time")
    await expect(bar).to_have_js_property("value", 0.75)
    await visit.page.unroute_all(behavior="wait")


async def test_a_long_line_doesnt_fill_the_page(open_dashboard: OpenDashboard) -> None:
    """The first fifty are shown, and the number of the others."""
    visit = await open_dashboard(loaded=True)
    await show(visit, {**REPORT, "waiting": [waiting_request(number) for number in range(200)]})
    await expect(rows(visit, "Waiting in line")).to_have_count(50)
    await expect(visit.page.get_by_text("150 more requests wait.")).to_be_visible()
    await visit.page.unroute_all(behavior="wait")


@pytest.mark.parametrize("device", LOOKS, ids=["desktop", "phone"])
async def test_axe_finds_nothing_in_the_line(open_dashboard: OpenDashboard, device: dict[str, Any]) -> None:
    """Names, roles and contrast in both colour schemes, and nothing sticks out."""
    visit = await open_dashboard(loaded=True, color_scheme="light", **device)
    await show(visit, REPORT)
    assert await violations(visit.page) == []
    await visit.page.emulate_media(color_scheme="dark")
    assert await violations(visit.page) == []
    assert await visit.page.evaluate(STICKING_OUT) == []
    await visit.page.set_viewport_size({"width": 320, "height": 700})
    assert await visit.page.evaluate(STICKING_OUT) == []
    await visit.page.unroute_all(behavior="wait")
