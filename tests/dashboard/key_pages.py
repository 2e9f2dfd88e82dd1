"""The view of people, for the tests of its keys."""

from __future__ import annotations

import re
from typing import Any

from playwright.async_api import Locator, Page, Route, expect

from tests.dashboard.browsing import Visit
from tests.dashboard.conftest import OpenDashboard

OWNER = "the owner's key"
SECRET = re.compile(r"sk-lm-[0-9A-Za-z]{8}:[0-9A-Za-z]{20}")
COUNTS = (
    "requests",
    "errors",
    "refused",
    "promptTokens",
    "completionTokens",
    "reasoningTokens",
    "gpuMs",
    "waitMs",
)
USED = {
    **dict.fromkeys(COUNTS, 0),
    "key": "anna",
    "requests": 12,
    "promptTokens": 1000,
    "completionTokens": 234,
}
EVERYTHING = """
[document.documentElement.outerHTML, ...Array.from(document.querySelectorAll("input"), ({value}) => value),
 ...Array.from(document.querySelectorAll("textarea"), ({value}) => value),
 JSON.stringify({...sessionStorage}), JSON.stringify({...localStorage}), JSON.stringify(history.state),
 location.href, document.cookie].join("\\n")
"""


async def report_usage(page: Page, **untold: int) -> None:
    """Answer for the ledger: `anna` used the same today and this month."""

    async def answer(route: Route) -> None:
        await route.fulfill(json={"rows": [{**USED, "untold": 0, **untold}], "total": {}})

    await page.route("**/admin/usage?by=key&since=*", answer)


async def open_keys(open_dashboard: OpenDashboard, api_key: str = OWNER, **options: Any) -> Visit:
    """The view of people, opened by the owner, or without any key."""
    visit = await open_dashboard(api_key=api_key, **options)
    await report_usage(visit.page)
    if api_key:
        await visit.log_in(api_key)
    await visit.go_to("People")
    await expect(visit.page.get_by_text("There are no")).to_be_visible()
    return visit


def row(visit: Visit, name: str) -> Locator:
    return visit.page.get_by_role("row").filter(has=visit.button(f"Change {name}"))


def dialog(visit: Visit) -> Locator:
    return visit.page.get_by_role("dialog")


async def make(visit: Visit, name: str) -> str:
    """Make a key with the dialog, and return the secret that is shown. The dialog stays open."""
    await visit.button("Make a key").click()
    await visit.page.get_by_label("Name", exact=True).fill(name)
    await visit.button("Make").click()
    return await shown_secret(visit, name)


async def shown_secret(visit: Visit, name: str) -> str:
    await expect(dialog(visit)).to_contain_text("it is shown only this once")
    secret = await visit.page.get_by_label(f"The key {name}").last.inner_text()
    assert SECRET.fullmatch(secret)
    return secret
