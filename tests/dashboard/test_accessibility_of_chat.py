"""Accessibility of the view to chat."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import expect

from tests.dashboard.browsing import DESKTOP, PHONE, check_schemes, check_widths, violations
from tests.dashboard.conftest import OpenDashboard
from tests.dashboard.test_chat import answers, open_chat, script, send

pytestmark = pytest.mark.asyncio(loop_scope="session")
LOOKS = [DESKTOP, pytest.param(PHONE, marks=pytest.mark.long)]
LONG = f"{'w' * 300}\n```\n{'c' * 300}\n```\n"


@pytest.mark.parametrize("device", LOOKS, ids=["desktop", "phone"])
async def test_axe_finds_nothing_in_a_chat(open_dashboard: OpenDashboard, device: dict[str, Any]) -> None:
    """Empty, with an answer whose reasoning is open, and with an error, in both schemes."""
    visit = await open_chat(open_dashboard, **device)
    await visit.page.get_by_text("System prompt, temperature, length").click()
    assert await violations(visit.page) == []
    await script(
        visit,
        {"reasoning_content": "Hm."},
        {"content": LONG},
        end='data: {"error": {"message": "Broken."}}\n\n',
    )
    await send(visit, LONG)
    await expect(visit.page.get_by_text("Broken.")).to_be_visible()
    await visit.page.get_by_text("Reasoning", exact=True).click()
    await check_schemes(visit)


async def test_a_chat_fits_a_phone(open_dashboard: OpenDashboard) -> None:
    """Also with words, code and names of models that are longer than a line."""
    visit = await open_chat(open_dashboard)
    models = visit.page.get_by_label("Model", exact=True)
    await models.evaluate("(node, name) => node.options[0].append(name)", "m" * 200)
    await script(visit, {"content": LONG})
    await send(visit, LONG)
    await expect(answers(visit)).to_contain_text("www")
    await visit.page.get_by_text("System prompt, temperature, length").click()
    await check_widths(visit, 1280, 768, 390, 320)


async def test_the_keyboard_is_enough_for_a_chat(open_dashboard: OpenDashboard) -> None:
    """Choose, write, send, read, clear."""
    visit = await open_chat(open_dashboard)
    await script(visit, {"content": "Yes."})
    press, page = visit.page.keyboard.press, visit.page
    await page.get_by_role("heading", name="Chat").focus()
    await press("Tab")
    await expect(visit.button("Clear")).to_be_focused()
    await press("Tab")
    await expect(page.get_by_label("Model", exact=True)).to_be_focused()
    await press("Tab")
    await press("Enter")
    await press("Tab")
    await expect(page.get_by_label("System prompt")).to_be_focused()
    for _ in range(3):
        await press("Tab")
    await expect(page.get_by_label("Message")).to_be_focused()
    await page.keyboard.type("Well?")
    await press("Enter")
    await expect(answers(visit)).to_have_text("Yes.")
    await expect(page.get_by_label("Message")).to_be_focused()
    await press("Shift+Tab")
    await expect(page.get_by_role("log")).to_be_focused()
    await visit.tab_to("Clear")
    await press("Enter")
    await expect(answers(visit)).to_have_count(0)
    await expect(page.get_by_label("Message")).to_be_focused()
