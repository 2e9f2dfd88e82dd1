"""Accessibility of the views of people and connecting."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import expect

from tests.dashboard.browsing import DESKTOP, PHONE, STICKING_OUT, check_schemes, check_widths, violations
from tests.dashboard.conftest import OpenDashboard
from tests.dashboard.key_pages import (
    OWNER,
    dialog,
    make,
    open_keys,
    report_usage,
    row,
)
from tests.dashboard.test_usage import ROWS, open_usage, table, used

pytestmark = pytest.mark.asyncio(loop_scope="session")
LOOKS = [DESKTOP, pytest.param(PHONE, marks=pytest.mark.long)]


async def test_the_keyboard_is_enough_for_keys(open_dashboard: OpenDashboard) -> None:
    """Go there, make one, leave its secret, change it, revoke it."""
    visit = await open_dashboard(api_key=OWNER)
    await report_usage(visit.page)
    await visit.log_in(OWNER)
    press, page = visit.page.keyboard.press, visit.page
    await visit.tab_to("People")
    await press("Enter")
    await expect(page.get_by_role("heading", name="People", exact=True)).to_be_focused()
    await visit.tab_to("Make a key")
    await press("Enter")
    await expect(page.get_by_label("Name", exact=True)).to_be_focused()
    await page.keyboard.type("anna")
    await press("Enter")
    await expect(visit.button("Copy the key")).to_be_focused()
    await press("Escape")
    await expect(visit.button("Make a key")).to_be_focused()
    await expect(row(visit, "anna")).to_be_visible()
    await visit.tab_to("Change anna")
    await press("Enter")
    await expect(page.get_by_label("Note")).to_be_focused()
    await page.keyboard.type("Her laptop")
    await press("Enter")
    await expect(visit.button("Change anna")).to_be_focused()
    await visit.tab_to("Revoke anna")
    await press("Enter")
    await visit.tab_to("Revoke anna")
    await press("Enter")
    await expect(page.get_by_role("heading", name="Keys", exact=True)).to_be_focused()


@pytest.mark.parametrize("device", LOOKS, ids=["desktop", "phone"])
async def test_axe_finds_nothing_about_keys(open_dashboard: OpenDashboard, device: dict[str, Any]) -> None:
    """In the list and in the dialogs, in both schemes."""
    visit = await open_keys(open_dashboard, color_scheme="light", **device)
    await visit.make_key("anna", note="Her laptop", expiresAt="2999-01-01")
    await expect(row(visit, "anna")).to_be_visible()
    await check_schemes(visit)
    await visit.button("Make a key").click()
    await visit.page.get_by_text("Addresses, class and share").click()
    await check_schemes(visit)
    await visit.page.keyboard.press("Escape")
    await make(visit, "ben")
    await check_schemes(visit)
    await visit.button("Close").click()
    await visit.button("Revoke ben").click()
    await check_schemes(visit)


async def test_keys_fit_a_phone(open_dashboard: OpenDashboard) -> None:
    """With the longest names and many globs; the dialogs too."""
    visit = await open_keys(open_dashboard)
    await visit.make_key("n" * 64, note="o" * 200, models=["m" * 200], expiresAt="2999-01-01")
    await visit.make_key("anna", scopes=["inference", "tools", "models", "observe", "log", "admin"])
    await expect(row(visit, "anna")).to_be_visible()
    await check_widths(visit, 1280, 768, 390, 320)
    await make(visit, "ben")
    assert await visit.page.evaluate(STICKING_OUT) == []
    await visit.button("Close").click()
    await visit.button("Change anna").click()
    assert await visit.page.evaluate(STICKING_OUT) == []
    assert await dialog(visit).evaluate("node => node.scrollWidth <= node.clientWidth")


@pytest.mark.parametrize("device", LOOKS, ids=["desktop", "phone"])
async def test_axe_finds_nothing_about_usage(open_dashboard: OpenDashboard, device: dict[str, Any]) -> None:
    """In both schemes; also the view of one's own key."""
    visit, _ = await open_usage(open_dashboard, color_scheme="light", **device)
    await expect(table(visit, "By key")).to_be_visible()
    for view in ("People", "Connect"):
        await visit.go_to(view)
        assert await violations(visit.page) == []
        await visit.page.emulate_media(color_scheme="dark")
        assert await violations(visit.page) == []


async def test_usage_fits_a_phone(open_dashboard: OpenDashboard) -> None:
    """Also names of 64 characters, and how to connect."""
    rows = [*ROWS, used("2027-01-31", "n" * 64, 10**6, 10**6, 10**6, 10**12, 10**12, 10**12, 10**10, 10**6)]
    visit, _ = await open_usage(open_dashboard, rows)
    await expect(table(visit, "By key")).to_be_visible()
    for view in ("People", "Connect"):
        await visit.go_to(view)
        await check_widths(visit, 1280, 768, 390, 320)
