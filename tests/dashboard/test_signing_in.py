"""Signing in: on this device, and by a link with a key in its fragment."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from playwright.async_api import expect

from tests.dashboard.browsing import PHONE, STICKING_OUT, Visit, violations
from tests.dashboard.conftest import OpenDashboard
from tests.dashboard.key_pages import EVERYTHING

pytestmark = pytest.mark.asyncio(loop_scope="session")
KEY = "a k\u00e9y with spaces & #"
STORES = "[sessionStorage.length, localStorage.length]"
HEADING = "Last 100 requests"


def link(key: str = KEY) -> str:
    return f"/dashboard#key={quote(key, safe='')}"


async def is_signed_in(visit: Visit) -> None:
    await expect(visit.page.get_by_role("heading", name=HEADING)).to_be_visible()
    await expect(visit.page.get_by_text("Live", exact=True)).to_be_visible()


async def test_the_key_is_remembered_on_request(open_dashboard: OpenDashboard) -> None:
    """Off by default. "Forget key" forgets it for all tabs."""
    visit = await open_dashboard(api_key=KEY)
    remember = visit.page.get_by_label("Remember on this device")
    await expect(remember).not_to_be_checked()
    await remember.check()
    await visit.log_in(KEY)
    assert await visit.page.evaluate(STORES) == [0, 1]
    other = await visit.page.context.new_page()
    await other.goto(f"{visit.gateway.base_url}/dashboard")
    await expect(other.get_by_role("heading", name=HEADING)).to_be_visible()
    await other.close()
    await visit.button("Forget key").click()
    await expect(visit.page.get_by_label("Key", exact=True)).to_be_visible()
    assert await visit.page.evaluate(STORES) == [0, 0]


async def test_a_remembered_key_that_has_ended_is_forgotten(open_dashboard: OpenDashboard) -> None:
    """Otherwise each new tab would try it."""
    visit = await open_dashboard(api_key=KEY)
    visit.tolerated = 401
    await visit.page.evaluate("localStorage.setItem('lmgateway.key', 'the old one')")
    await visit.page.reload()
    await expect(visit.page.get_by_text("The gateway doesn't accept this key any more.")).to_be_visible()
    assert await visit.page.evaluate(STORES) == [0, 0]


async def test_a_link_signs_in(open_dashboard: OpenDashboard) -> None:
    """The key leaves the address bar and the history at once, and is in no request's URL."""
    visit = await open_dashboard(api_key=KEY, path="/docs", **PHONE)
    entries = await visit.page.evaluate("history.length")
    await visit.open(link())
    await is_signed_in(visit)
    assert visit.page.url == f"{visit.gateway.base_url}/dashboard"
    assert await visit.page.evaluate("history.length") == entries + 1
    await expect(visit.page.locator("#login")).to_be_hidden()
    assert await visit.page.evaluate(STORES) == [1, 0]
    assert KEY not in re.sub(r'\{"lmgateway.key":[^}]*\}', "", await visit.page.evaluate(EVERYTHING))
    await visit.page.reload()
    await is_signed_in(visit)
    assert not [url for url in visit.asked if quote(KEY) in url.partition("#")[0] or "?" in url]


async def test_a_named_key_may_stand_in_the_link_as_it_is(open_dashboard: OpenDashboard) -> None:
    """People make such links by hand."""
    visit = await open_dashboard(api_key=KEY, path="/docs")
    key = await visit.make_key("anna")
    await visit.open(f"/dashboard#key={key}")
    await expect(visit.page.get_by_role("heading", name="Your key: anna")).to_be_visible()


async def test_a_phone_that_a_link_signed_in_can_remember_the_key(open_dashboard: OpenDashboard) -> None:
    """A link alone doesn't: the device may be another's."""
    visit = await open_dashboard(api_key=KEY, path="/docs", **PHONE)
    await visit.open(link())
    await expect(visit.page.get_by_text("Signed in as owner, in this tab only.")).to_be_visible()
    assert await violations(visit.page) == []
    await visit.page.set_viewport_size({"width": 320, "height": 700})
    assert await visit.page.evaluate(STICKING_OUT) == []
    await visit.button("Remember on this device").click()
    await expect(visit.page.get_by_text("Signed in as owner")).to_be_hidden()
    assert await visit.page.evaluate(STORES) == [0, 1]


async def test_a_link_with_a_wrong_key_says_so(open_dashboard: OpenDashboard) -> None:
    """In the login form, without the key in the address bar. The tab's own key stays."""
    visit = await open_dashboard(api_key=KEY)
    visit.tolerated = 401
    await visit.log_in(KEY)
    await visit.open(link("sk-lm-wrong"))
    reason = "The gateway doesn't know the key in this link, or it has ended."
    await expect(visit.page.get_by_role("alert").filter(has_text=reason)).to_be_visible()
    await expect(visit.page.get_by_label("Key", exact=True)).to_be_focused()
    assert visit.page.url == f"{visit.gateway.base_url}/dashboard"
    assert await visit.page.evaluate("sessionStorage.getItem('lmgateway.key')") == KEY


async def test_a_link_in_an_open_tab_changes_the_key(open_dashboard: OpenDashboard) -> None:
    """The browser doesn't load the page again for another fragment."""
    visit = await open_dashboard(api_key=KEY)
    anna = await visit.make_key("anna")
    await visit.log_in(KEY)
    await visit.page.evaluate("hash => { location.hash = hash; }", f"#key={anna}")
    await expect(visit.page.get_by_role("heading", name="Your key: anna")).to_be_visible()
    assert visit.page.url == f"{visit.gateway.base_url}/dashboard"


async def test_a_link_replaces_no_remembered_key(open_dashboard: OpenDashboard) -> None:
    """Any page can open a link with a key of its own. It is this tab's, unless the user wants more."""
    visit = await open_dashboard(api_key=KEY)
    anna = await visit.make_key("anna")
    await visit.page.get_by_label("Remember on this device").check()
    await visit.log_in(KEY)
    for _ in range(2):
        await visit.page.evaluate("hash => { location.hash = hash; }", f"#key={anna}")
        await expect(visit.page.get_by_text("Signed in as anna, in this tab only.")).to_be_visible()
    assert await visit.page.evaluate("localStorage.getItem('lmgateway.key')") == KEY
    other = await visit.page.context.new_page()
    await other.goto(f"{visit.gateway.base_url}/dashboard")
    await expect(other.get_by_role("heading", name=HEADING)).to_be_visible()
    await other.close()
    await visit.button("Remember on this device").click()
    await expect(visit.page.get_by_text("Signed in as anna")).to_be_hidden()
    assert await visit.page.evaluate("localStorage.getItem('lmgateway.key')") == anna
    assert await visit.page.evaluate(STORES) == [0, 1]


async def test_a_key_of_the_tab_that_ends_leaves_the_remembered_one(open_dashboard: OpenDashboard) -> None:
    """It is the device's, and still valid."""
    visit = await open_dashboard(api_key=KEY)
    anna = await visit.make_key("anna")
    await visit.page.get_by_label("Remember on this device").check()
    await visit.log_in(KEY)
    await visit.page.evaluate("hash => { location.hash = hash; }", f"#key={anna}")
    await expect(visit.page.get_by_text("Signed in as anna, in this tab only.")).to_be_visible()
    visit.tolerated = 401
    await visit.change_key("DELETE", "anna")
    await visit.page.reload()
    await expect(visit.page.get_by_label("Key", exact=True)).to_be_visible()
    assert await visit.page.evaluate(STORES) == [0, 1]
    await visit.page.reload()
    await expect(visit.page.get_by_role("heading", name=HEADING)).to_be_visible()


async def test_without_keys_a_link_leads_to_the_page(open_dashboard: OpenDashboard) -> None:
    """A key that nobody asks for isn't stored."""
    visit = await open_dashboard(path="/docs")
    await visit.open(link())
    await is_signed_in(visit)
    assert await visit.page.evaluate(STORES) == [0, 0]


async def test_a_sign_in_link_is_shown_as_a_code(open_dashboard: OpenDashboard) -> None:
    """As an image that the policy allows, whose key is in no URL that is sent."""
    visit = await open_dashboard(api_key=KEY)
    await visit.log_in(KEY)
    shown = await visit.page.evaluate(
        """async (key) => {
          const { signInLink } = await import("./dashboard/static/sign-in-link.js");
          const { showQr } = await import("./dashboard/static/qr.js");
          await showQr(document.querySelector("#stale"), signInLink(key), "Sign-in code");
          const image = document.querySelector("#stale img");
          await image.decode();
          return [signInLink(key), image.alt, image.naturalWidth > 0];
        }""",
        KEY,
    )
    assert shown == [f"{visit.gateway.base_url}{link()}", "Sign-in code", True]
    assert not [url for url in visit.asked if quote(KEY) in url and not url.startswith("data:")]


@pytest.mark.parametrize(
    ("url", "is_own"),
    [
        ("http://127.0.0.1:8002/dashboard", True),
        ("https://localhost/dashboard", True),
        ("http://[::1]:8002/", True),
        ("http://192.168.1.20:8002/dashboard", False),
        ("http://localhost.example/", False),
    ],
)
async def test_an_address_that_no_phone_can_open_is_told(
    open_dashboard: OpenDashboard, url: str, is_own: bool
) -> None:
    """The gateway's owner mostly opens the dashboard by localhost."""
    visit = await open_dashboard()
    hint = await visit.page.evaluate(
        """async (url) => {
          const { showQr } = await import("./dashboard/static/qr.js");
          const box = document.createElement("div");
          await showQr(box, url);
          return box.textContent;
        }""",
        url,
    )
    assert ("A phone can't open this address" in hint) is is_own
