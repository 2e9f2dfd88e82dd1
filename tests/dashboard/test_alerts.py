"""The browser's notifications: asked for on a click only, and of what the user chose."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from playwright.async_api import Route, expect

from tests.dashboard.browsing import MODEL, Visit, violations
from tests.dashboard.conftest import OpenDashboard

pytestmark = pytest.mark.asyncio(loop_scope="session")
# In place of the browser's, which no test can see.
NOTIFICATIONS = """
window.shown = [];
window.asked = 0;
window.Notification = class {
  static permission = sessionStorage.getItem("permission") ?? "default";
  static async requestPermission() {
    asked += 1;
    Notification.permission = window.decision ?? "granted";
    sessionStorage.setItem("permission", Notification.permission);
    return Notification.permission;
  }
  constructor(title, { tag }) { shown.push([tag, title]); }
  addEventListener() {}
};
"""


async def open_alerts(open_dashboard: OpenDashboard, **options: object) -> Visit:
    visit = await open_dashboard(path="/docs", **options)
    await visit.page.add_init_script(NOTIFICATIONS)
    await visit.open("/dashboard")
    await expect(visit.page.get_by_text("Live", exact=True)).to_be_visible()
    return visit


async def wait_for(visit: Visit, tag: str) -> str:
    """Wait for a notification of this kind, and return its title."""
    found = await visit.page.wait_for_function(
        "tag => shown.find(([one]) => one === tag)?.[1]", arg=f"lmgateway.{tag}"
    )
    return str(await found.json_value())


async def choose(visit: Visit, label: str) -> None:
    await visit.page.get_by_label(label, exact=True).check()
    await expect(visit.page.get_by_label(label, exact=True)).to_be_checked()


async def test_the_browser_is_asked_only_on_a_click(open_dashboard: OpenDashboard) -> None:
    """What was chosen is there after a reload, without another question."""
    visit = await open_alerts(open_dashboard)
    assert await visit.page.evaluate("asked") == 0
    await choose(visit, "A model is loaded")
    assert await visit.page.evaluate("asked") == 1
    assert await wait_for(visit, "on") == "Notifications are on"
    assert await violations(visit.page) == []
    await visit.page.reload()
    await expect(visit.page.get_by_label("A model is loaded", exact=True)).to_be_checked()
    assert await visit.page.evaluate("asked") == 0


async def test_a_refusal_is_explained(open_dashboard: OpenDashboard) -> None:
    visit = await open_alerts(open_dashboard)
    await visit.page.evaluate("window.decision = 'denied'")
    await visit.page.get_by_label("A model is loaded", exact=True).click()
    mistake = visit.page.get_by_role("alert").filter(has_text="The browser doesn't allow notifications")
    await expect(mistake).to_be_visible()
    await expect(visit.page.get_by_label("A model is loaded", exact=True)).not_to_be_checked()


async def test_a_load_that_is_done(open_dashboard: OpenDashboard) -> None:
    """Not one from before the page was opened, whose events are replayed."""
    visit = await open_alerts(open_dashboard)
    visit.pace.finish()
    await choose(visit, "A model is loaded")
    await visit.post("/admin/models/load", modelKey=MODEL)
    assert await wait_for(visit, "load") == f"{MODEL} is loaded"
    await visit.page.reload()
    await visit.go_to("Log")
    await expect(visit.page.get_by_role("log")).to_contain_text("model_load_complete")
    assert await visit.page.evaluate("shown") == []


async def test_a_line_that_is_long(open_dashboard: OpenDashboard) -> None:
    """Also in a tab in the background; once, until it is short again."""
    visit = await open_alerts(open_dashboard, loaded=True, models={MODEL: {"slots": 1}})
    await visit.page.get_by_label("Requests in line").fill("1")
    await choose(visit, "More requests wait than")
    await visit.page.evaluate(
        "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(visit.chat(max_tokens=3))
        waiting = [asyncio.create_task(stack.enter_async_context(visit.chat(max_tokens=3))) for _ in range(3)]
        assert await wait_for(visit, "line") == "2 requests wait in line"
        await expect(visit.page).to_have_title("1 running, 3 waiting · Now · lmgateway")
        assert len([tag for tag, _ in await visit.page.evaluate("shown") if tag == "lmgateway.line"]) == 1
        visit.pace.finish()
        await asyncio.gather(*waiting)


async def test_lm_studio_that_is_away(open_dashboard: OpenDashboard) -> None:
    """Once, when it stops answering."""
    visit = await open_alerts(open_dashboard)
    visit.tolerated = 503
    await choose(visit, "LM Studio doesn't answer any more")
    await expect(visit.page.locator("#tile-studio")).to_contain_text("Reachable")

    async def refuse(route: Route) -> None:
        studio = {"reachable": False, "latencyMs": None, "baseUrl": "http://127.0.0.1:1234"}
        await route.fulfill(status=503, json={"status": "unavailable", "lmstudio": studio})

    await visit.page.route("**/health/ready", refuse)
    # The page asks again when it is shown.
    await visit.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    assert await wait_for(visit, "studio") == "LM Studio doesn't answer"
    await visit.page.unroute_all(behavior="wait")
