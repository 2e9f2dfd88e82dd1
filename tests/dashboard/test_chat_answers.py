"""A model's answer in the view to chat: its text, its reasoning, and how it breaks off."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.dashboard.conftest import OpenDashboard
from tests.dashboard.test_chat import answers, open_chat, script, send

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize(
    ("end", "sentence"),
    [
        ('data: {"error": {"message": "LM Studio ended its answer too early."}}\n\n', "ended its answer"),
        ("", "The connection was lost in the middle of the answer."),
        ('data: {"choices": [\n\n', "LM Studio's answer can't be read"),
        ("data: null\n\n", "LM Studio's answer can't be read"),
        ('data: {"choices": [{"delta": null}]}\n\n', "The connection was lost in the middle of the answer."),
    ],
)
async def test_an_answer_that_breaks_off_says_so(
    open_dashboard: OpenDashboard, end: str, sentence: str
) -> None:
    """What came stays."""
    visit = await open_chat(open_dashboard)
    await script(visit, {"content": "Half of it"}, end=end)
    await send(visit, "Hello!")
    await expect(visit.page.get_by_role("alert").filter(has_text=sentence)).to_be_visible()
    await expect(answers(visit)).to_have_text("Half of it")


async def test_text_is_never_markup(open_dashboard: OpenDashboard) -> None:
    """White space stays, fenced code is in a box of its own, and the rest is as the model wrote it."""
    visit = await open_chat(open_dashboard)
    evil = "<img src=x onerror=alert(1)>\n  two  **spaces**\n```html\n<script>alert(2)</script>\n```\nEnd"
    await script(visit, *({"content": piece} for piece in (evil[:20], evil[20:75], evil[75:])))
    await send(visit, "<b>me</b>")
    answer = answers(visit)
    await expect(answer.locator("p")).to_have_text(
        ["<img src=x onerror=alert(1)>\n  two  **spaces**", "End"], use_inner_text=True
    )
    await expect(answer.get_by_role("group", name="Code").locator("pre")).to_have_text(
        "<script>alert(2)</script>"
    )
    await expect(visit.page.locator(".message.own")).to_contain_text("<b>me</b>")
    assert await visit.page.locator("#chat-log :is(img, script, b)").count() == 0


@pytest.mark.parametrize(
    "deltas",
    [
        ({"reasoning_content": "Let me "}, {"reasoning_content": "think."}, {"content": "42"}),
        ({"reasoning": "Let me think."}, {"content": "42"}),
        ({"content": "<think>Let me"}, {"content": " think.</th"}, {"content": "ink>\n\n42"}),
    ],
)
async def test_reasoning_is_folded_away(
    open_dashboard: OpenDashboard, deltas: tuple[dict[str, str], ...]
) -> None:
    """In each of the forms in which LM Studio sends it."""
    visit = await open_chat(open_dashboard)
    await script(visit, *deltas)
    await send(visit, "What is the answer?")
    await expect(answers(visit)).to_have_text("42")
    thoughts = visit.page.locator(".thoughts")
    await expect(thoughts).to_be_hidden()
    await visit.page.get_by_text("Reasoning", exact=True).click()
    await expect(thoughts).to_have_text("Let me think.")
