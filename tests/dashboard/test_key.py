"""The key: asked for once, stored for the tab."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Route, expect

from tests.dashboard.browsing import MODEL, Visit
from tests.dashboard.conftest import OpenDashboard
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.asyncio(loop_scope="session")
KEY = "a k\u00e9y with spaces"


async def type_key(visit: Visit, key: str = KEY) -> None:
    await visit.page.get_by_label("Key", exact=True).fill(key)
    await visit.page.keyboard.press("Enter")


async def test_a_gateway_without_a_key_asks_for_none(open_dashboard: OpenDashboard) -> None:
    """A first try on one's own machine needs no set-up."""
    visit = await open_dashboard()
    await expect(visit.page.get_by_text("Reachable", exact=True)).to_be_visible()
    await expect(visit.page.locator("#login")).to_be_hidden()
    await expect(visit.button("Forget key")).to_be_hidden()


async def test_the_key_is_stored_for_the_tab_only(open_dashboard: OpenDashboard) -> None:
    """A key in a URL ends in a history, one in local storage with the next user of the machine."""
    visit = await open_dashboard(api_key=KEY)
    await expect(visit.page.locator("#dashboard")).to_be_hidden()
    await type_key(visit)
    await expect(visit.page.locator("#login")).to_be_hidden()
    await expect(visit.page.locator("#dashboard")).to_be_visible()
    await visit.page.reload()
    await expect(visit.page.get_by_text("Live", exact=True)).to_be_visible()
    stores = await visit.page.evaluate("[sessionStorage.length, localStorage.length, document.cookie]")
    assert stores == [1, 0, ""]
    assert KEY not in await visit.page.content()
    assert await visit.page.locator("#key").input_value() == ""
    assert not [url for url in visit.asked if "?" in url]
    other = await visit.page.context.new_page()
    await other.goto(f"{visit.gateway.base_url}/dashboard")
    await expect(other.get_by_label("Key", exact=True)).to_be_visible()


async def test_a_wrong_key_is_refused_and_forgotten(open_dashboard: OpenDashboard) -> None:
    """The page says so, and asks again."""
    visit = await open_dashboard(api_key=KEY)
    visit.tolerated = 401
    await type_key(visit, "wrong")
    await expect(visit.page.get_by_text("The gateway has no such key, or it has ended.")).to_be_visible()
    assert await visit.page.evaluate("sessionStorage.length") == 0
    await type_key(visit)
    await expect(visit.page.locator("#dashboard")).to_be_visible()


async def test_a_key_that_is_no_longer_taken_is_asked_for_again(open_dashboard: OpenDashboard) -> None:
    """Otherwise an open tab would show old values after a change of the key."""
    visit = await open_dashboard(api_key=KEY)
    await type_key(visit)
    await expect(visit.page.get_by_text("Live", exact=True)).to_be_visible()
    visit.tolerated = 401
    # No reload here: the page itself notices with its next request.
    await visit.page.evaluate("sessionStorage.setItem('lmgateway.key', 'the old one')")
    await visit.post("/admin/models/activate", modelKey=MODEL)
    await expect(visit.page.get_by_text("The gateway doesn't accept this key any more.")).to_be_visible()
    await type_key(visit)
    await expect(visit.page.get_by_text("Live", exact=True)).to_be_visible()


async def test_the_key_can_be_forgotten(open_dashboard: OpenDashboard) -> None:
    """For shared machines."""
    visit = await open_dashboard(api_key=KEY)
    await type_key(visit)
    await visit.button("Forget key").click()
    await expect(visit.page.get_by_label("Key", exact=True)).to_be_visible()
    assert await visit.page.evaluate("sessionStorage.length") == 0


async def test_no_request_goes_without_the_key_while_the_page_is_left(open_dashboard: OpenDashboard) -> None:
    """Its 401 would bring up that the key isn't accepted any more."""
    visit = await open_dashboard(api_key=KEY)
    await type_key(visit)
    await expect(visit.page.get_by_text("Live", exact=True)).to_be_visible()
    reloading, proceed = asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        reloading.set()
        await proceed.wait()
        await route.continue_()

    await visit.page.route("**/dashboard", hold)
    await visit.button("Forget key").click(no_wait_after=True)
    await asyncio.wait_for(reloading.wait(), PATIENCE_SECONDS)
    async with visit.page.expect_response("**/admin/models") as refreshed:
        await visit.post("/admin/models/activate", modelKey=MODEL)
    assert (await refreshed.value).status == 200
    proceed.set()
    await expect(visit.page.get_by_label("Key", exact=True)).to_be_visible()


async def test_the_page_works_below_a_proxys_prefix(open_dashboard: OpenDashboard) -> None:
    """Its references are relative to the page."""
    visit = await open_dashboard()

    async def strip_prefix(route: Route) -> None:
        await route.fulfill(response=await route.fetch(url=route.request.url.replace("/home/lm/", "/")))

    for path in ("dashboard*", "dashboard/**", "health/ready", "admin/keys/self"):
        await visit.page.route(f"**/home/lm/{path}", strip_prefix)
    visit.tolerated = 404
    await visit.page.goto(f"{visit.gateway.base_url}/home/lm/dashboard")
    await expect(visit.page.get_by_text("Reachable", exact=True)).to_be_visible()


async def test_a_revoked_key_is_asked_for_again(open_dashboard: OpenDashboard) -> None:
    """Its event stream is ended, and the next request says why."""
    visit = await open_dashboard(api_key=KEY)
    key = await visit.make_key("anna", scopes=["observe"])
    await visit.log_in(key)
    await expect(visit.page.get_by_text("Live", exact=True)).to_be_visible()
    visit.tolerated = 401
    await visit.change_key("DELETE", "anna")
    await expect(visit.page.get_by_text("The gateway doesn't accept this key any more.")).to_be_visible()
    await expect(visit.page.get_by_label("Key", exact=True)).to_be_focused()
    assert await visit.page.evaluate("sessionStorage.length") == 0
