"""The forms of /docs that send an operation's request."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from playwright.async_api import Locator, expect

from tests.dashboard.browsing import DESKTOP, PHONE, STICKING_OUT, Visit, check_widths, violations
from tests.dashboard.conftest import OpenDashboard
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.asyncio(loop_scope="session")
CHAT = '{"messages": [{"role": "user", "content": "Hello!"}], "stream": true}'


async def open_form(visit: Visit, operation_id: str) -> Locator:
    """Open an operation's form, and return the operation."""
    await visit.open(f"/docs#{operation_id}")
    operation = visit.page.locator(f"#{operation_id}")
    await operation.get_by_text("Try it", exact=True).click()
    return operation


async def send(operation: Locator) -> Locator:
    """Send its request, and return what the page shows of the answer when it has ended."""
    await operation.get_by_role("button", name="Send").click()
    await expect(operation.get_by_role("status")).to_contain_text("ended after")
    return operation.locator(".tried")


async def test_a_request_is_sent_with_the_key_of_the_tab(open_dashboard: OpenDashboard) -> None:
    """The dashboard's key serves; the answer has its status, its time, its id and indented JSON."""
    visit = await open_dashboard(api_key="a key")
    await visit.log_in("a key")
    operation = await open_form(visit, "getAdminModelsActive")
    await expect(operation.get_by_text("Sent with the key of this tab.")).to_be_visible()
    answer = await send(operation)
    await expect(answer.locator(".badge")).to_have_text("200")
    await expect(answer.get_by_role("status")).to_contain_text("OK, ended after")
    await expect(answer.locator(".heads")).to_contain_text("x-request-id")
    await expect(answer.get_by_role("group", name="Answer")).to_have_text(
        '{\n  "activeModel": null,\n  "activeEmbeddingModel": null\n}'
    )


async def test_without_a_key_it_says_where_to_enter_one(open_dashboard: OpenDashboard) -> None:
    """Nothing is sent; the way back from the dashboard leads to a form that sends."""
    visit = await open_dashboard(api_key="a key")
    operation = await open_form(visit, "getAdminModels")
    await expect(operation.get_by_text("This needs a key, and this tab has none.")).to_be_visible()
    await expect(operation.get_by_role("button", name="Send")).to_be_hidden()
    await operation.get_by_role("link", name="dashboard").click()
    await visit.log_in("a key")
    await visit.page.go_back()
    if await operation.get_by_role("button", name="Send").count() == 0:  # the browser loaded it again
        await operation.get_by_text("Try it", exact=True).click()
    answer = await send(operation)
    await expect(answer.get_by_role("group", name="Answer")).to_contain_text('"downloaded"')


async def test_a_path_that_needs_no_key_gets_none(open_dashboard: OpenDashboard) -> None:
    """Its form works before anybody has entered one."""
    visit = await open_dashboard(api_key="a key")
    operation = await open_form(visit, "getHealth")
    await expect(operation.get_by_text("Sent without a key: none is needed.")).to_be_visible()
    async with visit.page.expect_request("**/health") as asked:
        answer = await send(operation)
    assert "x-api-key" not in await (await asked.value).all_headers()
    await expect(answer.get_by_role("group", name="Answer")).to_contain_text('"status": "ok"')


async def test_a_stream_is_shown_piece_by_piece_and_stopped(open_dashboard: OpenDashboard) -> None:
    """Each piece as soon as it arrives. Stop ends the request at LM Studio too."""
    visit = await open_dashboard(loaded=True)
    operation = await open_form(visit, "postV1ChatCompletions")
    await operation.get_by_label("Body").fill(CHAT)
    await operation.get_by_role("button", name="Send").click()
    pieces = operation.get_by_role("group", name="Answer").get_by_role("listitem")
    visit.pace.go_on(3)
    await expect(pieces.filter(has_text='"content"')).not_to_have_count(0)
    await expect(operation.get_by_role("status")).to_contain_text("OK, began after")
    before = await pieces.count()
    visit.pace.go_on(3)
    await expect(pieces).to_have_count(before + 3)
    await operation.get_by_role("button", name="Stop").click()
    await expect(operation.get_by_role("status")).to_contain_text("Stopped after")
    await expect(operation.get_by_role("button", name="Stop")).to_be_hidden()
    await expect(operation.get_by_role("button", name="Send")).to_be_focused()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (ended := (await report(visit))["recent"]):
            pass
    assert ended[0]["outcome"] == "aborted"


async def report(visit: Visit) -> Any:
    async with visit.gateway.client.get(visit.gateway.url("/debug/requests")) as response:
        return await response.json()


async def test_an_endless_stream_of_events(open_dashboard: OpenDashboard) -> None:
    """With the query that the form asks for; each piece has the event's name."""
    visit = await open_dashboard()
    operation = await open_form(visit, "getDebugStream")
    await operation.get_by_label("types").fill("model_activate")
    async with visit.page.expect_request("**/debug/stream*") as asked:
        await operation.get_by_role("button", name="Send").click()
    assert (await asked.value).url.endswith("/debug/stream?types=model_activate")
    pieces = operation.get_by_role("group", name="Answer").get_by_role("listitem")
    await expect(pieces).to_have_count(1)
    await expect(pieces.first).to_contain_text("connected")
    await visit.post("/admin/models/activate", modelKey="llama-3.2-3b-instruct")
    await expect(pieces.nth(1)).to_contain_text("model_activate")
    await operation.get_by_role("button", name="Stop").click()


@pytest.mark.parametrize("agree", [True, False], ids=["sent", "cancelled"])
async def test_a_change_is_asked_about_first(open_dashboard: OpenDashboard, agree: bool) -> None:
    """The gateway is everybody's, so a click alone changes nothing."""
    visit = await open_dashboard()
    operation = await open_form(visit, "postAdminModelsActivate")
    await operation.get_by_role("button", name="Send").click()
    dialog = visit.page.get_by_role("dialog", name="Send POST /admin/models/activate?")
    await expect(dialog).to_contain_text("Make a model the active one.")
    await dialog.get_by_role("button", name="Send it" if agree else "Cancel").click()
    if agree:
        await expect(operation.locator(".tried .badge")).to_have_text("200")
    await expect(dialog).to_have_count(0)
    async with visit.gateway.client.get(visit.gateway.url("/admin/models/active")) as response:
        active = (await response.json())["activeModel"]
    assert (active is not None) == agree


async def test_parameters_are_filled_in(open_dashboard: OpenDashboard) -> None:
    """In the path and in the query, encoded; what is left empty isn't sent."""
    visit = await open_dashboard()
    operation = await open_form(visit, "getAdminUsage")
    await operation.get_by_label("by", exact=True).fill("model,key")
    await operation.get_by_label("format").fill("csv")
    async with visit.page.expect_request("**/admin/usage*") as asked:
        answer = await send(operation)
    assert (await asked.value).url.endswith("/admin/usage?by=model,key&format=csv")
    await expect(answer.get_by_role("group", name="Answer")).to_contain_text("model,key,requests")
    visit.tolerated = 404
    operation = await open_form(visit, "getV1ModelsModel")
    await operation.get_by_label("model", exact=True).fill("a/b c?d")
    async with visit.page.expect_request("**/v1/models/*/**") as asked:
        await send(operation)
    assert (await asked.value).url.endswith("/v1/models/a/b%20c%3Fd")


async def test_mistakes_are_shown_and_not_sent(open_dashboard: OpenDashboard) -> None:
    """A body that isn't JSON, and a path that a browser would change."""
    visit = await open_dashboard()
    operation = await open_form(visit, "postV1Embeddings")
    visit.asked.clear()
    body = operation.get_by_label("Body")
    await expect(body).to_have_value(re.compile(r'^\{\n  "input": \['))
    await body.fill('{"input": }')
    await operation.get_by_role("button", name="Send").click()
    await expect(operation.get_by_text("This isn't JSON")).to_be_visible()
    await expect(body).to_be_focused()
    assert visit.asked == []
    operation = await open_form(visit, "getV1Path")
    visit.asked.clear()
    await operation.get_by_label("path", exact=True).fill("../admin/models")
    await operation.get_by_role("button", name="Send").click()
    await expect(operation.get_by_text("A browser removes . and .. from a path.")).to_be_visible()
    assert visit.asked == []


async def test_any_method_of_a_path_can_be_chosen(open_dashboard: OpenDashboard) -> None:
    """A body belongs to some methods only."""
    visit = await open_dashboard()
    operation = await open_form(visit, "getV1Path")
    await expect(operation.get_by_label("Body")).to_have_count(0)
    await operation.get_by_label("Method").select_option("POST")
    await operation.get_by_label("path", exact=True).fill("embeddings")
    await operation.get_by_label("Body").fill('{"model": "no-such-model", "input": "Hello!"}')
    visit.tolerated = 404
    answer = await send(operation)
    await expect(answer.locator(".badge")).to_have_text("404")
    await expect(answer.get_by_role("group", name="Answer")).to_contain_text("no-such-model")


async def test_an_answer_is_text_and_never_html(open_dashboard: OpenDashboard) -> None:
    """Not what a page contains, and not what an error quotes."""
    visit = await open_dashboard()
    operation = await open_form(visit, "getDashboard")
    answer = await send(operation)
    await expect(answer.get_by_role("group", name="Answer")).to_contain_text("<!doctype html>")
    visit.tolerated = 404
    operation = await open_form(visit, "deleteDebugRequestsRequestId")
    await operation.get_by_label("request_id", exact=True).fill("<img src=x>")
    await operation.get_by_role("button", name="Send").click()
    await visit.button("Send it").click()
    answer = operation.locator(".tried")
    await expect(answer.get_by_role("group", name="Answer")).to_contain_text("<img src=x>")
    assert await answer.locator("img, script, link").count() == 0


async def test_an_answer_does_not_outlast_the_visit(open_dashboard: OpenDashboard) -> None:
    """It may be a new key, and a browser may keep a page that was left for the way back."""
    visit = await open_dashboard()
    answer = await send(await open_form(visit, "getAdminModelsActive"))
    await visit.page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', {persisted: true}))")
    await expect(answer.get_by_role("group", name="Answer")).to_have_count(0)
    await expect(answer.get_by_role("status")).to_have_text("")


async def test_what_a_refusal_says_in_its_head_is_shown(open_dashboard: OpenDashboard) -> None:
    """How much is left of a limit, and when to try again."""
    visit = await open_dashboard(api_key="a key", loaded=True)
    visit.pace.finish()
    await visit.log_in(await visit.make_key("kitchen", limits={"requestsPerMinute": 1}))
    operation = await open_form(visit, "postV1ChatCompletions")
    answer = await send(operation)
    await expect(answer.locator(".heads")).to_contain_text("x-ratelimit-remaining-requests0")
    visit.tolerated = 429
    await operation.get_by_role("button", name="Send").click()
    await expect(answer.locator(".badge")).to_have_text("429")
    await expect(answer.locator(".heads")).to_contain_text("retry-after")


async def test_a_gateway_that_is_away_is_not_an_answer(open_dashboard: OpenDashboard) -> None:
    """The status says so, and the form can be sent again."""
    visit = await open_dashboard()
    operation = await open_form(visit, "getHealth")
    await visit.page.evaluate(
        "() => { window.fetch = () => Promise.reject(new TypeError('Failed to fetch')); }"
    )
    await operation.get_by_role("button", name="Send").click()
    await expect(operation.get_by_role("status")).to_contain_text("The gateway doesn't answer.")
    await expect(operation.get_by_role("button", name="Stop")).to_be_hidden()
    await expect(operation.get_by_role("button", name="Send")).to_be_enabled()


async def test_the_keyboard_sends(open_dashboard: OpenDashboard) -> None:
    """From the closed form to the answer without a mouse."""
    visit = await open_dashboard()
    await visit.open("/docs#getAdminModelsActive")
    await visit.page.locator("#getAdminModelsActive summary").first.focus()
    await visit.tab_to("Try it")
    await visit.page.keyboard.press("Enter")
    await expect(visit.button("Send")).to_be_visible()
    await visit.tab_to("Send")
    await visit.page.keyboard.press("Enter")
    await expect(visit.page.get_by_role("group", name="Answer")).to_contain_text("activeModel")
    await visit.tab_to("Answer")


@pytest.mark.parametrize(
    "device", [DESKTOP, pytest.param(PHONE, marks=pytest.mark.long)], ids=["desktop", "phone"]
)
async def test_everybody_can_use_it(open_dashboard: OpenDashboard, device: dict[str, Any]) -> None:
    """By axe's rules in both looks, and without horizontal scrolling from the smallest phone on."""
    visit = await open_dashboard(loaded=True, color_scheme="light", **device)
    visit.pace.finish()
    operation = await open_form(visit, "postV1ChatCompletions")
    await operation.get_by_label("Body").fill(CHAT)
    await send(operation)
    usage = visit.page.locator("#getAdminUsage")
    await usage.locator("summary").first.click()
    await usage.get_by_text("Try it", exact=True).click()
    await send(usage)
    for look in ("light", "dark"):
        await visit.page.emulate_media(color_scheme=look)
        assert await violations(visit.page) == []
    await check_widths(visit, device["viewport"]["width"], 320)
    activate = visit.page.locator("#postAdminModelsActivate")
    await activate.locator("summary").first.click()
    await activate.get_by_text("Try it", exact=True).click()
    await activate.get_by_role("button", name="Send").click()
    await expect(visit.page.get_by_role("dialog")).to_be_visible()
    assert await violations(visit.page) == []
    assert await visit.page.evaluate(STICKING_OUT) == []
