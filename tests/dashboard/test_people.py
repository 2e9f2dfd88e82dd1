"""The view of people as a whole: what is left of limits, and who sees what."""

from __future__ import annotations

import pytest
from playwright.async_api import Locator, expect

from tests.dashboard.browsing import MODEL, Visit
from tests.dashboard.conftest import OpenDashboard
from tests.dashboard.key_pages import row

pytestmark = pytest.mark.asyncio(loop_scope="session")
OWNER = "the owner's key"
LIMITS = {"requestsPerMinute": 2, "tokensPerDay": 1000, "running": 1}


def bars(place: Locator) -> Locator:
    return place.get_by_role("progressbar")


async def use(visit: Visit, key: str) -> None:
    async with visit.chat(key, max_tokens=20) as response:
        assert response.status == 200
        await response.read()


async def test_the_limits_of_each_key_are_bars(open_dashboard: OpenDashboard) -> None:
    """As full as what was used of them; one that is used up stands out."""
    visit = await open_dashboard(api_key=OWNER, loaded=True)
    anna = await visit.make_key("anna", limits=LIMITS)
    await visit.make_key("ben")
    visit.pace.finish()
    for _ in range(2):
        await use(visit, anna)
    await visit.log_in(OWNER)
    await visit.go_to("People")
    limits = row(visit, "anna").locator(".limits")
    await expect(limits).to_contain_text("2 of 2 requests this minute")
    await expect(limits).to_contain_text("of 1,000 tokens today")
    await expect(limits).to_contain_text("0 of 1 running at once")
    used = visit.page.get_by_role("progressbar", name="anna: requests this minute")
    await expect(used).to_have_class("full")
    of_day = visit.page.get_by_role("progressbar", name="anna: tokens today")
    assert 40 <= float(await of_day.get_attribute("value") or 0) < 200
    assert await of_day.get_attribute("max") == "1000"
    await expect(row(visit, "ben").locator(".limits")).to_have_text("none")


async def test_a_key_with_observe_sees_limits_and_usage(open_dashboard: OpenDashboard) -> None:
    """Of all keys; it can't list or change them. What it may not ask would be a complaint."""
    visit = await open_dashboard(api_key=OWNER, loaded=True)
    anna = await visit.make_key("anna", limits=LIMITS)
    visit.pace.finish()
    async with visit.chat(anna, max_tokens=20) as response:
        await response.read()
    await visit.log_in(await visit.make_key("watcher", scopes=["observe"]))
    await visit.go_to("People")
    await expect(visit.page.get_by_role("heading", name="People")).to_be_focused()
    limits = visit.page.get_by_role("list", name="Keys with limits").get_by_role("listitem")
    await expect(limits).to_have_count(1)
    await expect(limits).to_contain_text("1 of 2 requests this minute")
    await expect(bars(limits)).to_have_count(3)
    await expect(visit.page.get_by_role("table", name="By key")).to_contain_text("anna")
    await expect(visit.page.locator("#people-keys")).to_be_hidden()
    assert not [url for url in visit.asked if url.endswith("/admin/keys")]
    await visit.change_key("PATCH", "anna", limits={"requestsPerMinute": None, "running": None})
    await expect(bars(limits)).to_have_count(1)
    await visit.change_key("DELETE", "anna")
    await expect(visit.page.get_by_text("No key has limits.")).to_be_visible()


async def test_a_key_with_inference_alone_has_no_view_of_people(open_dashboard: OpenDashboard) -> None:
    """Nor does its page ask for what the view would show."""
    visit = await open_dashboard(api_key=OWNER, loaded=True)
    await visit.log_in(await visit.make_key("anna", model=MODEL))
    links = visit.page.get_by_role("navigation", name="Views").get_by_role("link")
    await expect(links).to_have_text(["Connect", "Chat"])
    await visit.open("/dashboard#people")
    await visit.page.reload()
    await expect(visit.page.get_by_role("heading", name="Your key: anna")).to_be_visible()
    await expect(visit.page.locator("#view-people")).to_be_hidden()
    assert not [url for url in visit.asked if "/debug/" in url or "/admin/usage" in url]
