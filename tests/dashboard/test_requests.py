"""The requests: while they run, cancelled, and ended."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from playwright.async_api import Route, expect

from tests.dashboard.browsing import MODEL
from tests.dashboard.conftest import OpenDashboard
from tests.support.waiting import PATIENCE_SECONDS

CANCEL = "Cancel the request POST /v1/chat/completions of 127.0.0.1"
pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_request_is_seen_and_cancelled(open_dashboard: OpenDashboard) -> None:
    """Cancelling ends the answer, and its client gets an error."""
    visit = await open_dashboard(loaded=True)
    await expect(visit.page.get_by_text("Nothing is running.")).to_be_visible()
    async with visit.chat() as response:
        running = visit.page.get_by_role("list", name="Requests in flight").get_by_role("listitem")
        await expect(running).to_have_count(1)
        await expect(running).to_contain_text(MODEL)
        await expect(running.locator(".who")).to_have_text("127.0.0.1")
        visit.pace.go_on(5)
        await expect(running).to_contain_text("Generating, 6 tokens")
        await expect(visit.page.locator("#tile-running")).to_contain_text("1 generating")
        await visit.button(CANCEL).click()
        await visit.button("Cancel request").click()
        # Shown for eight seconds.
        await expect(visit.page.get_by_text("127.0.0.1's request was cancelled.")).to_be_visible()
        await expect(running).to_have_count(0)
        with pytest.raises(aiohttp.ClientPayloadError):
            await asyncio.wait_for(response.read(), PATIENCE_SECONDS)
    await expect(visit.page.get_by_role("heading", name="In flight")).to_be_focused()
    row = visit.page.get_by_role("table").get_by_role("row").nth(1)
    await expect(row.locator(".badge")).to_have_text("Cancelled")
    await expect(row.locator("[data-column='Tokens out']")).to_have_text("6")


async def test_a_request_is_cancelled_only_if_confirmed(open_dashboard: OpenDashboard) -> None:
    """The dialog says whose it is. Enter and Escape keep it, and the focus returns."""
    visit = await open_dashboard(api_key="a key", loaded=True)
    alice = await visit.make_key("alice")
    await visit.log_in("a key")
    async with visit.chat(alice, max_tokens=3) as response:
        cancel = visit.button("Cancel the request POST /v1/chat/completions of alice")
        dialog = visit.page.get_by_role("dialog", name=f"Cancel alice's request to {MODEL}?")
        for key in ("Enter", "Escape"):
            await cancel.press("Enter")
            await expect(visit.button("Keep it")).to_be_focused()
            await visit.page.keyboard.press(key)
            await expect(dialog).to_have_count(0)
            await expect(cancel).to_be_focused()
        await cancel.press("Enter")
        await expect(visit.button("Keep it")).to_be_focused()
        visit.pace.finish()
        await asyncio.wait_for(response.read(), PATIENCE_SECONDS)
        await expect(cancel).to_have_count(0)
        visit.tolerated = 404
        await visit.button("Cancel request").click()
    await expect(visit.page.get_by_text("alice's request had already ended.")).to_be_visible()
    await expect(visit.page.get_by_role("heading", name="In flight")).to_be_focused()


async def test_ended_requests_are_listed_and_drawn(open_dashboard: OpenDashboard) -> None:
    """With their speed and time to first token."""
    visit = await open_dashboard(loaded=True)
    visit.pace.finish()
    async with visit.chat(max_tokens=20) as response:
        await response.read()
    row = visit.page.get_by_role("table").get_by_role("row").nth(1)
    await expect(row).to_contain_text(MODEL)
    await expect(row).to_contain_text("Done 200")
    chart = visit.page.get_by_role("img", name="Time to first token over the last hour: 1 answer")
    await expect(chart).to_be_visible()
    await expect(chart.locator("canvas")).to_be_visible()


async def test_another_model_and_reasoning_are_shown(open_dashboard: OpenDashboard) -> None:
    """A request shows which model answered in place of its own, what was mended, and the reasoning tokens."""
    visit = await open_dashboard(loaded=True)
    visit.pace.finish()
    async with visit.chat(max_tokens=20) as response:
        await response.read()

    async def change(route: Route) -> None:
        report = await (await route.fetch()).json()
        request = report["recent"][0]
        request |= {"servedModel": "other-model", "mended": ["tool_choice", "tool_types"]}
        request["tokenUsage"]["reasoningTokens"] = 1200
        running = {
            name: request[name] for name in ("method", "path", "client", "key", "model", "servedModel")
        }
        running |= {"requestId": "x", "phase": "waiting", "promptProgress": None, "elapsedMs": 5}
        await route.fulfill(json={**report, "running": [running]})

    await visit.page.route("**/debug/requests", change)
    await visit.page.reload()
    row = visit.page.get_by_role("table").get_by_role("row").nth(1)
    await expect(row.locator(".name")).to_have_text(MODEL)
    await expect(row).to_contain_text("answered by other-model")
    await expect(row).to_contain_text("mended: tool_choice, tool_types")
    await expect(row.locator("[data-column='Tokens out']")).to_contain_text("1,200 reasoning")
    running = visit.page.get_by_role("list", name="Requests in flight").get_by_role("listitem")
    await expect(running).to_contain_text("answered by other-model")
    await visit.page.unroute_all(behavior="wait")


async def test_a_failed_request_is_repeated(open_dashboard: OpenDashboard) -> None:
    """A failed request is repeated without an event."""
    visit = await open_dashboard()
    visit.tolerated = 503

    async def refuse(route: Route) -> None:
        await route.fulfill(status=503)

    await visit.page.clock.install()
    for path in ("requests", "stream"):  # without events nothing but its own failure makes it ask again
        await visit.page.route(f"**/debug/{path}", refuse)
    await visit.page.reload()
    await expect(visit.page.locator("#tile-running .big")).to_have_text("Unknown")
    await visit.page.unroute("**/debug/requests")
    await visit.page.clock.run_for(10_000)
    await expect(visit.page.locator("#tile-running .big")).to_have_text("0")


async def test_a_hidden_page_asks_for_nothing(open_dashboard: OpenDashboard) -> None:
    """A forgotten tab sends no requests."""
    visit = await open_dashboard(loaded=True)
    await visit.page.clock.install()
    await visit.page.reload()
    async with visit.chat():
        running = visit.page.get_by_role("list", name="Requests in flight").get_by_role("listitem")
        await expect(running).to_have_count(1)
        await visit.page.evaluate(
            "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
        await visit.page.clock.run_for(600)  # for what was being asked already
        visit.asked.clear()
        await visit.page.clock.run_for(60_000)
        assert visit.asked == []
