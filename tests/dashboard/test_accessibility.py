"""Accessibility: axe's rules, the keyboard alone, small screens."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import expect

from tests.dashboard.browsing import DESKTOP, PHONE, TITLE, Visit, check_widths, violations
from tests.dashboard.conftest import OpenDashboard

pytestmark = pytest.mark.asyncio(loop_scope="session")
LOOKS = [DESKTOP, pytest.param(PHONE, marks=pytest.mark.long)]


VIEWS = ("Now", "Models", "Log")


async def fill_the_page(visit: Visit) -> None:
    """Fill every part of it: a load, an ended request, a running one."""
    visit.pace.go_on(40)
    async with visit.chat(max_tokens=10) as response:
        await response.read()
    await visit.go_to("Models")
    await visit.button("Load Qwen2.5 7B Instruct").click()
    await visit.button("Load").click()
    await expect(visit.page.get_by_role("progressbar", name="Loading Qwen2.5 7B Instruct")).to_be_visible()


@pytest.mark.parametrize("device", LOOKS, ids=["desktop", "phone"])
async def test_axe_finds_nothing(open_dashboard: OpenDashboard, device: dict[str, Any]) -> None:
    """Names, roles, contrast, structure, in each look that the page has."""
    visit = await open_dashboard(loaded=True, color_scheme="light", **device)
    await fill_the_page(visit)
    async with visit.chat():
        for view in VIEWS:
            await visit.go_to(view)
            await visit.page.emulate_media(color_scheme="light")
            assert await violations(visit.page) == []
            await visit.page.emulate_media(color_scheme="dark")
            assert await violations(visit.page) == []
    await visit.go_to("Models")
    await visit.button("Load Nomic Embed Text v1.5").click()
    assert await violations(visit.page) == []


async def test_axe_finds_nothing_where_the_key_is_asked_for(open_dashboard: OpenDashboard) -> None:
    """The login form is part of the page."""
    visit = await open_dashboard(api_key="a key")
    await expect(visit.page.get_by_label("Key", exact=True)).to_be_visible()
    assert await violations(visit.page) == []


async def test_nothing_sticks_out(open_dashboard: OpenDashboard) -> None:
    """No horizontal scrolling, from the smallest phone on."""
    visit = await open_dashboard(loaded=True)
    await fill_the_page(visit)
    for view in VIEWS:
        await visit.go_to(view)
        await check_widths(visit, 1280, 768, 390, 320)


async def test_the_keyboard_is_enough(open_dashboard: OpenDashboard) -> None:
    """Key, load, unload, filter and pause without a mouse; the focus is never lost."""
    visit = await open_dashboard(api_key="a key", path="/dashboard#models")
    press, page = visit.page.keyboard.press, visit.page
    await expect(page.get_by_label("Key", exact=True)).to_be_focused()
    await page.keyboard.type("a key")
    await press("Enter")
    await expect(visit.button(f"Load {TITLE}")).to_be_visible()
    await visit.tab_to(f"Load {TITLE}")
    await press("Enter")
    await expect(page.get_by_label("Context length")).to_be_focused()
    await press("Escape")
    await expect(visit.button(f"Load {TITLE}")).to_be_focused()
    await press("Enter")
    await expect(page.get_by_label("Context length")).to_be_focused()
    await press("Enter")
    await expect(page.get_by_role("heading", name="Models", exact=True)).to_be_focused()
    visit.pace.finish()
    await expect(visit.button(f"Unload {TITLE}")).to_be_visible()
    await visit.tab_to(f"Unload {TITLE}")
    await press("Space")
    await expect(page.get_by_role("heading", name="Models", exact=True)).to_be_focused()
    await visit.tab_to("Log")
    await press("Enter")
    await visit.tab_to("Pause")
    await press("Space")
    await expect(visit.button("Resume")).to_be_focused()
    await expect(page.get_by_text("Paused, 0 new")).to_be_visible()
