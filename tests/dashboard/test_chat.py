"""The view to chat with a model."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.async_api import Locator, Route, expect

from tests.dashboard.browsing import MODEL, Visit
from tests.dashboard.conftest import OpenDashboard

pytestmark = pytest.mark.asyncio(loop_scope="session")
OWNER = "the owner's key"
FIGURES = re.compile(r"^[\d,]+ tokens · [\d,.]+ tokens/s · first token after [\d.]+ m?s · " + MODEL)
STORES = "[JSON.stringify({...sessionStorage}), JSON.stringify({...localStorage}), location.href].join(' ')"


async def open_chat(open_dashboard: OpenDashboard, *, api_key: str = OWNER, **options: Any) -> Visit:
    """The view, with the model selected that is loaded."""
    visit = await open_dashboard(api_key=api_key, loaded=True, **options)
    await visit.log_in(api_key)
    await visit.go_to("Chat")
    await visit.page.get_by_label("Model", exact=True).select_option(MODEL)
    return visit


def answers(visit: Visit) -> Locator:
    return visit.page.get_by_role("log").locator(".answer")


def figures(visit: Visit) -> Locator:
    return visit.page.locator(".figures")


async def send(visit: Visit, text: str) -> None:
    await visit.page.get_by_label("Message").fill(text)
    await visit.page.keyboard.press("Enter")


async def script(visit: Visit, *deltas: dict[str, str], end: str = "data: [DONE]\n\n") -> None:
    """Answer the chats with these pieces."""
    chunks = [{"model": MODEL, "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + end

    async def answer(route: Route) -> None:
        await route.fulfill(content_type="text/event-stream", body=body)

    await visit.page.route("**/v1/chat/completions", answer)


async def test_an_answer_is_streamed(open_dashboard: OpenDashboard) -> None:
    """Piece by piece; then its figures stand below it."""
    visit = await open_chat(open_dashboard)
    await send(visit, "Hello!")
    await expect(answers(visit)).to_have_text("This")
    visit.pace.go_on(2)
    await expect(answers(visit)).to_have_text("This is a")
    await expect(visit.page.get_by_text("Waiting for the first token…")).to_be_hidden()
    await expect(visit.page.get_by_role("log")).to_have_attribute("aria-busy", "true")
    await expect(figures(visit)).to_be_hidden()
    visit.pace.finish()
    await expect(figures(visit)).to_have_text(FIGURES)
    await expect(answers(visit)).to_contain_text(f"This is a simulated answer from {MODEL}.")
    await expect(visit.page.get_by_role("log")).not_to_have_attribute("aria-busy", "true")
    await expect(visit.button("Stop")).to_be_hidden()


async def test_the_request_has_the_settings_and_the_conversation(open_dashboard: OpenDashboard) -> None:
    """It goes through the API, with the tab's key."""
    visit = await open_chat(open_dashboard)
    await script(visit, {"reasoning_content": "Hm."}, {"content": "Yes."})
    page = visit.page
    await page.get_by_text("System prompt, temperature, length").click()
    await page.get_by_label("System prompt").fill("Be short.")
    await page.get_by_label("Temperature").fill("0.5")
    await page.get_by_label("Max tokens").fill("40")
    await send(visit, "First")
    await expect(answers(visit)).to_have_text("Yes.")
    async with page.expect_request("**/v1/chat/completions") as sent:
        await send(visit, "Second")
    request = await sent.value
    assert request.headers["x-api-key"] == OWNER
    assert json.loads(request.post_data or "") == {
        "model": MODEL,
        "temperature": 0.5,
        "max_tokens": 40,
        "messages": [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": "First"},
            {"role": "assistant", "content": "Yes."},
            {"role": "user", "content": "Second"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    await page.get_by_label("Model", exact=True).select_option("the active model")
    await page.get_by_label("Temperature").fill("")
    async with page.expect_request("**/v1/chat/completions") as sent:
        await send(visit, "Third")
    body = json.loads((await sent.value).post_data or "")
    assert ("model" in body, "temperature" in body, body["max_tokens"]) == (False, False, 40)


async def test_a_wrong_setting_is_named_before_anything_is_sent(open_dashboard: OpenDashboard) -> None:
    """Also in the part that is folded away."""
    visit = await open_chat(open_dashboard)
    await visit.page.get_by_text("System prompt, temperature, length").click()
    await visit.page.get_by_label("Temperature").fill("3")
    await visit.page.get_by_text("System prompt, temperature, length").click()
    await send(visit, "Hello!")
    await expect(visit.page.get_by_label("Temperature")).to_be_focused()
    await expect(visit.page.get_by_label("Message")).to_have_value("Hello!")
    assert not [url for url in visit.asked if url.endswith("/chat/completions")]


async def test_escape_stops_lm_studio(open_dashboard: OpenDashboard) -> None:
    """What came stays, and belongs to the conversation."""
    visit = await open_chat(open_dashboard)
    await send(visit, "Tell me everything.")
    visit.pace.go_on(2)
    await expect(answers(visit)).to_have_text("This is a")
    async with visit.page.expect_event("requestfailed"):
        await visit.page.keyboard.press("Escape")
    await expect(figures(visit)).to_have_text(re.compile(r"^Stopped · first token after [\d.]+ m?s$"))
    await expect(visit.page.get_by_label("Message")).to_be_focused()
    visit.pace.go_on(1)
    await expect(visit.page.get_by_role("alert").filter(has_text=re.compile("."))).to_have_count(0)
    await expect(answers(visit)).to_have_text("This is a")
    await visit.go_to("Now")
    await expect(visit.page.get_by_text("Nothing is running.")).to_be_visible()
    tally = visit.studio.simulator.ledger.total
    assert (tally.begun, tally.finished) == (1, 0)


async def test_what_is_stopped_without_an_answer_can_be_sent_again(open_dashboard: OpenDashboard) -> None:
    """With the button; the message returns to its field, with the focus."""
    visit = await open_chat(open_dashboard, models={MODEL: {"slots": 1}})
    async with visit.chat(OWNER):
        await send(visit, "Hello!")
        await expect(visit.page.get_by_text("Waiting for the first token…")).to_be_visible()
        await visit.tab_to("Stop")
        async with visit.page.expect_event("requestfailed"):
            await visit.page.keyboard.press("Enter")
        await expect(visit.page.get_by_text("Stopped.")).to_be_visible()
        await expect(visit.page.get_by_label("Message")).to_have_value("Hello!")
        await expect(visit.page.get_by_label("Message")).to_be_focused()
        await expect(answers(visit)).to_have_count(0)
    assert visit.studio.simulator.ledger.total.begun == 1


async def test_the_place_in_line_is_shown(open_dashboard: OpenDashboard) -> None:
    """Of one's own request, to a key that may see the line."""
    visit = await open_chat(open_dashboard, models={MODEL: {"slots": 1}})
    async with visit.chat(OWNER):
        await send(visit, "Hello!")
        await expect(visit.page.get_by_text("Waits for a free slot: next in line")).to_be_visible()
        visit.pace.finish()
    await expect(figures(visit)).to_have_text(FIGURES)
    await expect(visit.page.get_by_text("Waits for a free slot")).to_be_hidden()


async def test_a_keep_alive_is_shown(open_dashboard: OpenDashboard) -> None:
    """To a key that may not see the line; it asks for nothing that it may not see."""
    visit = await open_dashboard(
        api_key=OWNER, loaded=True, models={MODEL: {"slots": 1}}, queue={"keepalive_ms": 100}
    )
    await visit.log_in(await visit.make_key("anna", model=MODEL))
    await visit.go_to("Chat")
    await expect(visit.page.get_by_label("Model", exact=True)).to_have_value("")
    async with visit.chat(OWNER):
        await send(visit, "Hello!")
        await expect(visit.page.get_by_text("Waiting in line, for the model to load, or")).to_be_visible()
        visit.pace.finish()
    await expect(figures(visit)).to_have_text(FIGURES)
    assert not [url for url in visit.asked if "/debug/" in url]


async def test_a_refusal_is_a_sentence(open_dashboard: OpenDashboard) -> None:
    """The gateway's own; the message can be sent again."""
    visit = await open_dashboard(api_key=OWNER, loaded=True)
    await visit.log_in(await visit.make_key("anna", model=MODEL, limits={"requestsPerMinute": 1}))
    await visit.go_to("Chat")
    visit.pace.finish()
    await send(visit, "First")
    await expect(figures(visit)).to_have_text(FIGURES)
    visit.tolerated = 429
    await send(visit, "Second")
    refusal = visit.page.get_by_role("alert").filter(has_text="has used up its 1 requests per minute")
    await expect(refusal).to_be_visible()
    await expect(visit.page.get_by_label("Message")).to_have_value("Second")
    await expect(answers(visit)).to_have_count(1)


async def test_the_conversation_is_stored_nowhere(open_dashboard: OpenDashboard) -> None:
    """A reload ends it."""
    visit = await open_chat(open_dashboard)
    await script(visit, {"content": "a secret answer"})
    await send(visit, "a secret question")
    await expect(answers(visit)).to_have_text("a secret answer")
    assert "secret" not in await visit.page.evaluate(STORES)
    await visit.page.reload()
    await expect(visit.page.get_by_text("Send a message to try a model.")).to_be_visible()
    assert "secret" not in await visit.page.content()


async def test_clearing_ends_what_runs(open_dashboard: OpenDashboard) -> None:
    """And the next message begins a new conversation."""
    visit = await open_chat(open_dashboard)
    await send(visit, "Hello!")
    await expect(answers(visit)).to_have_text("This")
    async with visit.page.expect_event("requestfailed"):
        await visit.button("Clear").click()
    await expect(answers(visit)).to_have_count(0)
    await expect(visit.page.get_by_text("Send a message to try a model.")).to_be_visible()
    await expect(visit.page.get_by_label("Message")).to_be_focused()
    async with visit.page.expect_request("**/v1/chat/completions") as sent:
        await send(visit, "Again")
    assert json.loads((await sent.value).post_data or "")["messages"] == [
        {"role": "user", "content": "Again"}
    ]


async def test_shift_and_enter_begin_a_line(open_dashboard: OpenDashboard) -> None:
    """And Enter alone sends both."""
    visit = await open_chat(open_dashboard)
    await script(visit, {"content": "Yes."})
    await visit.page.get_by_label("Message").focus()
    for key in ("a", "Shift+Enter", "b", "Enter"):
        await visit.page.keyboard.press(key)
    await expect(visit.page.locator(".message.own")).to_contain_text("a\nb", use_inner_text=True)
    await expect(visit.page.get_by_label("Message")).to_have_value("")
