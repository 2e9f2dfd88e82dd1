"""The boxes on the dashboard's view of the system, and in the dialog of a load."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Route, expect

from tests.dashboard.browsing import DESKTOP, PHONE, TITLE, Visit, check_schemes, check_widths
from tests.dashboard.conftest import OpenDashboard

OWNER = "a-long-secret-of-the-house"
LOOKS = [DESKTOP, pytest.param(PHONE, marks=pytest.mark.long)]
STATES = {"mac": ("up", 4), "pc": ("down", None), "attic-workstation-with-a-long-name": ("draining", 12)}

pytestmark = pytest.mark.asyncio(loop_scope="session")


def report(box: str, state: str, latency_ms: int | None) -> dict[str, Any]:
    known = {"version": None if state == "down" else "0.4.25", "models": ["qwen/qwen3-8b"]}
    return {"box": box, "state": state, "latencyMs": latency_ms, "running": 2, "waiting": 1, **known}


async def open_boxes(open_dashboard: OpenDashboard, **options: Any) -> tuple[Visit, list[str]]:
    """Three boxes that the page is told of. The list has the changes that it asks for."""
    changes: list[str] = []

    async def answer(route: Route) -> None:
        if route.request.method == "POST":
            changes.append(route.request.url.partition("/admin/boxes/")[2])
            await route.fulfill(json={"message": "The box is drained."})
        else:
            await route.fulfill(json={"boxes": [report(box, *state) for box, state in STATES.items()]})

    visit = await open_dashboard(path="/dashboard#system", api_key=OWNER, loaded=True, **options)
    await visit.page.route("**/admin/boxes**", answer)
    await visit.page.route("**/admin/boxes/**", answer)
    await visit.log_in(OWNER)
    return visit, changes


async def test_each_box_says_what_it_does(open_dashboard: OpenDashboard) -> None:
    """Its state, its version, and what runs and waits there."""
    visit, _ = await open_boxes(open_dashboard)
    rows = visit.page.locator("#boxes-list li")
    await expect(rows.locator(".badge")).to_have_text(["Up", "Down", "Draining"])
    await expect(rows.nth(0)).to_contain_text(
        "answers in 4 ms · LM Studio 0.4.25 · 1 model · 2 running, 1 waiting"
    )
    await visit.page.unroute_all(behavior="wait")


async def test_a_box_is_drained_and_woken(open_dashboard: OpenDashboard) -> None:
    """A button for each thing that makes sense in its state."""
    visit, changes = await open_boxes(open_dashboard)
    rows = visit.page.locator("#boxes-list li")
    await expect(rows).to_have_count(3)
    offered = [await row.get_by_role("button").all_inner_texts() for row in await rows.all()]
    assert offered == [["Drain"], ["Wake", "Drain"], ["Resume"]]
    await visit.page.get_by_role("button", name="Drain mac").click()
    await expect(visit.page.get_by_text("The box is drained.")).to_be_visible()
    await visit.page.get_by_role("button", name="Wake pc").click()
    await visit.page.get_by_role("button", name="Resume attic").click()
    async with visit.page.expect_response("**/admin/boxes"):
        await visit.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    assert changes == ["mac/drain", "pc/wake", "attic-workstation-with-a-long-name/resume"]
    await visit.page.unroute_all(behavior="wait")


@pytest.mark.parametrize("device", LOOKS)
async def test_boxes_fit_and_axe_finds_nothing(open_dashboard: OpenDashboard, device: dict[str, Any]) -> None:
    """In both colour schemes; nothing sticks out of the smallest phone."""
    visit, _ = await open_boxes(open_dashboard, color_scheme="light", **device)
    await expect(visit.page.locator("#boxes-list li")).to_have_count(3)
    await check_schemes(visit)
    await check_widths(visit, 1280, 768, 390, 320)
    await visit.page.unroute_all(behavior="wait")


async def test_a_single_lm_studio_has_no_list_of_boxes(open_dashboard: OpenDashboard) -> None:
    """Its card says all there is."""
    visit = await open_dashboard(path="/dashboard#system", api_key=OWNER, loaded=True)
    await visit.log_in(OWNER)
    await expect(visit.page.locator("#system-boxes")).to_contain_text("Reachable")
    await expect(visit.page.locator("#boxes")).to_be_hidden()


async def test_a_load_goes_to_the_box_that_was_chosen(open_dashboard: OpenDashboard) -> None:
    """Where the model is on the disk of several."""
    visit = await open_dashboard(path="/dashboard#models", second="attic")
    await visit.button(f"Load {TITLE}").click()
    choice = visit.page.get_by_role("dialog").get_by_label("Box", exact=True)
    await expect(choice.locator("option")).to_have_text(["where there is room", "first", "attic"])
    await choice.select_option("attic")
    await visit.button("Load").click()
    await expect(visit.page.locator("#notices")).to_contain_text("is loaded")
    await expect(visit.page.locator("#models-list")).to_contain_text("on attic")
    assert not visit.studio.simulator.memory.instances()
