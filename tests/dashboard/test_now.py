"""The view Now: its order on a phone, the charts' ranges, the tab's title, and who sees what."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from tests.dashboard.browsing import DESKTOP, MODEL, PHONE, STICKING_OUT, TITLE, Visit, violations
from tests.dashboard.conftest import OpenDashboard
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.asyncio(loop_scope="session")
KEY = "the owner's key"
ONE_SLOT = {MODEL: {"slots": 1}}
NOW = "2027-01-31T12:31:00Z"
# The charts' labels are drawn, and not in the page.
RECORD_LABELS = """
window.labels = new Set();
window.cut = new Set();
const draw = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
  labels.add(text);
  const shift = { right: 1, end: 1, center: 0.5 }[this.textAlign] ?? 0;
  if (rest[0] - shift * this.measureText(text).width < 0) cut.add(text);
  draw.call(this, text, ...rest);
};
"""
HIDE = """
Object.defineProperty(document, "hidden", {value: true, configurable: true});
document.dispatchEvent(new Event("visibilitychange"));
"""
COUNTS = dict.fromkeys(("requests", "promptTokens", "completionTokens"), 0)


async def open_charts(open_dashboard: OpenDashboard, speed: float = 40.0, **options: Any) -> Visit:
    """The page at noon, with one answer in the last hour and the ledger's rows of three hours and days."""
    visit = await open_dashboard(path="/docs", timezone_id="UTC", locale="en-US", **options)
    page = visit.page

    async def requests(route: Route) -> None:
        sample = {"timestamp": "2027-01-31T12:00:00Z", "ttftMs": 200, "tokensPerSecond": speed}
        await route.fulfill(json={"running": [], "recent": [], "lastHour": [sample]})

    async def usage(route: Route) -> None:
        hours = [("2027-01-30T13:00:00.000Z", 1), ("2027-01-31T11:00:00.000Z", 7)]
        days = [("2027-01-02", 2), ("2027-01-30", 30)]
        name, rows = ("hour", hours) if "by=hour" in route.request.url else ("day", days)
        sums = [{**COUNTS, name: when, "requests": n, "promptTokens": 100 * n} for when, n in rows]
        await route.fulfill(json={"rows": sums, "total": {}})

    await page.route("**/debug/requests", requests)
    await page.route("**/admin/usage?*", usage)
    await page.add_init_script(RECORD_LABELS)
    await page.clock.set_fixed_time(NOW)
    await visit.open("/dashboard")
    return visit


async def labels(page: Page) -> set[str]:
    return set(await page.evaluate("[...labels]"))


async def test_the_last_hour_is_an_hour_wide(open_dashboard: OpenDashboard) -> None:
    """Also with one answer: the axis goes from an hour ago to now."""
    visit = await open_charts(open_dashboard)
    chart = visit.page.get_by_role("img", name="Tokens per second over the last hour: 1 answer, latest 40.0")
    await expect(chart).to_be_visible()
    await visit.page.wait_for_function("labels.size > 5")
    times = {label for label in await labels(visit.page) if label.endswith((" PM", " AM"))}
    assert times == {"11:40 AM", "11:50 AM", "12:00 PM", "12:10 PM", "12:20 PM", "12:30 PM"}
    await visit.page.unroute_all(behavior="wait")


async def test_no_label_of_a_speed_is_cut(open_dashboard: OpenDashboard) -> None:
    """However fast: the axis is as wide as its longest label."""
    visit = await open_charts(open_dashboard, speed=123456.0)
    caption = visit.page.locator("#chart-0-caption")
    await expect(caption).to_have_text("median 123,456.0")
    await expect(caption).to_have_attribute("title", re.compile("fewer than 8 tokens"))
    await visit.page.wait_for_function("labels.has('100,000.0')")
    assert await visit.page.evaluate("[...cut]") == []
    await visit.page.unroute_all(behavior="wait")


async def test_a_day_and_a_month_are_beside_it(open_dashboard: OpenDashboard) -> None:
    """By the ledger's hours and days, chosen with the keyboard too."""
    visit = await open_charts(open_dashboard)
    page = visit.page
    await page.get_by_label("Hour", exact=True).focus()
    await page.keyboard.press("ArrowRight")
    await expect(page.get_by_role("heading", name="Last 24 hours")).to_be_visible()
    told = "Tokens per hour over the last 24 hours: 800 tokens, most at 11:00 AM: 700 tokens"
    await expect(page.get_by_role("img", name=told)).to_be_visible()
    assert "by=hour&since=2027-01-30T13:00:00.000Z" in [url for url in visit.asked if "/usage" in url][-1]
    await page.wait_for_function("labels.has('4:00 PM') && labels.has('8:00 AM')")
    await page.keyboard.press("ArrowRight")
    await expect(page.get_by_role("heading", name="Last 30 days")).to_be_visible()
    told = "Requests per day over the last 30 days: 32 requests, most at Jan 30: 30 requests"
    await expect(page.get_by_role("img", name=told)).to_be_visible()
    assert "by=day&since=2027-01-02" in [url for url in visit.asked if "/usage" in url][-1]
    await page.wait_for_function("[...labels].filter((text) => text.startsWith('Jan ')).length > 3")
    await expect(page.get_by_text("32 requests")).to_be_visible()
    assert await violations(page) == []
    await page.unroute_all(behavior="wait")


async def test_an_empty_range_says_so(open_dashboard: OpenDashboard) -> None:
    visit = await open_dashboard()
    await expect(visit.page.get_by_text("No tokens were generated in the last hour.")).to_be_visible()
    await visit.page.get_by_label("Month", exact=True).check()
    await expect(visit.page.get_by_text("No request has ended in the last 30 days.")).to_be_visible()


async def top(visit: Visit, selector: str) -> float:
    box = await visit.page.locator(selector).bounding_box()
    assert box is not None
    return box["y"]


async def test_a_phone_shows_first_who_runs(open_dashboard: OpenDashboard) -> None:
    """A desktop has room for the tiles above."""
    visit = await open_dashboard(**PHONE)
    await expect(visit.page.locator("#view-now")).to_be_visible()
    assert await top(visit, "#running-title") < await top(visit, ".tiles") < await top(visit, "#line-title")
    await visit.page.set_viewport_size({"width": 1280, "height": 900})
    assert await top(visit, ".tiles") < await top(visit, "#running-title")


@pytest.mark.parametrize("width", [320, 390])
async def test_the_header_leaves_the_screen_to_the_view(open_dashboard: OpenDashboard, width: int) -> None:
    """However many views there are: the links are one line that scrolls to the current one."""
    visit = await open_dashboard(api_key=KEY, **PHONE)
    await visit.log_in(KEY)
    await expect(visit.page.get_by_text("Live", exact=True)).to_be_visible()
    await visit.page.set_viewport_size({"width": width, "height": 700})
    assert await visit.page.locator("header").evaluate("header => header.offsetHeight") <= 120
    await visit.go_to("Log")
    assert await visit.page.evaluate(STICKING_OUT) == []
    await expect(visit.page.get_by_role("link", name="Log", exact=True)).to_be_in_viewport(ratio=1)


async def test_the_title_says_what_runs(open_dashboard: OpenDashboard) -> None:
    """Also while the tab is in the background and requests nothing."""
    visit = await open_dashboard(loaded=True, models=ONE_SLOT)
    await expect(visit.page).to_have_title("Now · lmgateway")
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(visit.chat(max_tokens=3))
        await expect(visit.page).to_have_title("1 running · Now · lmgateway")
        second = asyncio.create_task(stack.enter_async_context(visit.chat(max_tokens=3)))
        await expect(visit.page).to_have_title("1 running, 1 waiting · Now · lmgateway")
        await visit.go_to("Models")
        await expect(visit.page).to_have_title("1 running, 1 waiting · Models · lmgateway")
        await visit.page.evaluate(HIDE)
        visit.pace.go_on(2)
        await first.read()
        await asyncio.wait_for(second, PATIENCE_SECONDS)
        await expect(visit.page).to_have_title("1 running · Models · lmgateway")
    await expect(visit.page).to_have_title("Models · lmgateway")


async def test_only_the_tab_hidden_last_keeps_its_connection(open_dashboard: OpenDashboard) -> None:
    """A browser has six for all tabs of a gateway."""
    visit = await open_dashboard()
    other = await visit.page.context.new_page()
    await other.goto(f"{visit.gateway.base_url}/dashboard")
    for page in (visit.page, other):
        await expect(page.locator("#live")).to_have_text("Live")
        await page.evaluate(HIDE)
    await expect(visit.page.locator("#live")).to_have_text("Paused")
    await expect(other.locator("#live")).to_have_text("Live")
    await visit.page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    await expect(visit.page.locator("#live")).to_have_text("Live")


@pytest.mark.parametrize(("old", "view"), [("overview", "now")])
async def test_old_links_lead_to_the_new_views(open_dashboard: OpenDashboard, old: str, view: str) -> None:
    """They are in bookmarks."""
    visit = await open_dashboard(path=f"/dashboard#{old}")
    await expect(visit.page.locator(f"#view-{view}")).to_be_visible()
    assert visit.page.url.endswith(f"#{view}")


@pytest.mark.parametrize(
    ("scopes", "hidden"),
    [
        (["inference"], ["Now", "Models", "Usage", "Keys", "Log", "System"]),
        (["inference", "models"], ["Now", "Usage", "Keys", "Log", "System"]),
        (["observe"], ["Models", "Keys", "Chat"]),
        (["observe", "inference"], ["Models", "Keys"]),
        (["admin"], []),
    ],
    ids=["inference", "models", "observe", "own requests", "admin"],
)
async def test_what_a_key_may_not_do_isnt_shown(
    open_dashboard: OpenDashboard, scopes: list[str], hidden: list[str]
) -> None:
    """Every view that is shown works: no request of the page is refused."""
    visit = await open_dashboard(api_key=KEY, loaded=True)
    key = await visit.make_key("anna", scopes=scopes)
    await visit.log_in(key)
    links = visit.page.get_by_role("navigation", name="Views").get_by_role("link")
    titles = await links.all_text_contents()
    shown = [title for title in titles if await links.filter(has_text=title).is_visible()]
    assert not set(hidden) & set(shown)
    for title in shown:
        await visit.go_to(title)
        await expect(visit.page.get_by_role("link", name=title, exact=True)).to_have_attribute(
            "aria-current", "page"
        )
    if scopes == ["admin"]:
        assert shown == titles


async def test_models_can_be_managed_without_events(open_dashboard: OpenDashboard) -> None:
    """A key without observe polls."""
    visit = await open_dashboard(api_key=KEY)
    await visit.page.clock.install()
    await visit.page.reload()
    await visit.log_in(await visit.make_key("anna", scopes=["models"]))
    await expect(visit.button(f"Load {TITLE}")).to_be_visible()
    visit.pace.finish()
    await visit.post("/admin/models/load", modelKey=MODEL)
    await visit.page.clock.run_for(6000)
    await expect(visit.button(f"Unload {TITLE}")).to_be_visible()
    assert not [url for url in visit.asked if "/debug/" in url or "/health/ready" in url]


@pytest.mark.parametrize("device", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_axe_finds_nothing_in_the_ranges(open_dashboard: OpenDashboard, device: dict[str, Any]) -> None:
    visit = await open_charts(open_dashboard, color_scheme="dark", **device)
    await visit.page.get_by_label("Day", exact=True).check()
    await expect(visit.page.get_by_text("8 requests")).to_be_visible()
    assert await violations(visit.page) == []
    await visit.page.unroute_all(behavior="wait")
