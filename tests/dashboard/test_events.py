"""The live event log, and the stream below it."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Route, expect

from lmgateway.observe.events import ErrorEvent, ModelUnloadStart
from lmgateway.web.state import EVENTS
from tests.dashboard.browsing import Visit
from tests.dashboard.conftest import OpenDashboard

pytestmark = pytest.mark.asyncio(loop_scope="session")


def publish(visit: Visit, key: str) -> None:
    visit.gateway.app[EVENTS].publish(ModelUnloadStart(model_key=key, instance_id=None))


async def test_events_show_up_newest_first(open_dashboard: OpenDashboard) -> None:
    """Also those from before the page was opened."""
    visit = await open_dashboard(path="/dashboard#log")
    publish(visit, "first")
    await visit.page.reload()
    entries = visit.page.get_by_role("log").get_by_role("listitem")
    await expect(entries).to_have_count(1)
    publish(visit, "second")
    await expect(entries).to_have_count(2)
    await expect(entries.first).to_contain_text("model_unload_start")
    await expect(entries.first).to_contain_text("second")


async def test_what_an_event_says_is_never_markup(open_dashboard: OpenDashboard) -> None:
    """A model's name is any client's text."""
    visit = await open_dashboard(path="/dashboard#log")
    publish(visit, "<img src=x onerror=alert(1)>")
    await expect(visit.page.get_by_role("log")).to_contain_text("<img src=x onerror=alert(1)>")
    assert await visit.page.locator("#log img").count() == 0


async def test_the_log_is_filtered(open_dashboard: OpenDashboard) -> None:
    """By kind and by any text, also for what comes later."""
    visit = await open_dashboard(path="/dashboard#log")
    for key in ("apple", "pear"):
        publish(visit, key)
    visit.gateway.app[EVENTS].publish(ErrorEvent(error="no apple left", total_time_ms=3))
    entries = visit.page.get_by_role("log").get_by_role("listitem")
    await expect(entries).to_have_count(3)
    await visit.page.get_by_label("Filter", exact=True).fill("APPLE")
    await expect(entries).to_have_count(2)
    await expect(visit.page.get_by_text("2 of 3 events")).to_be_visible()
    await visit.page.get_by_label("Show", exact=True).select_option("errors")
    await expect(entries).to_have_count(1)
    publish(visit, "apple again")
    await expect(visit.page.get_by_text("1 of 4 events")).to_be_visible()
    await visit.page.get_by_label("Filter", exact=True).fill("nothing of the kind")
    await expect(visit.page.get_by_text("No event matches this filter.")).to_be_visible()


async def test_the_log_can_be_paused(open_dashboard: OpenDashboard) -> None:
    """While paused, new events are counted and shown later."""
    visit = await open_dashboard(path="/dashboard#log")
    publish(visit, "before")
    entries = visit.page.get_by_role("log").get_by_role("listitem")
    await expect(entries).to_have_count(1)
    await visit.button("Pause").click()
    publish(visit, "while")
    await expect(visit.page.get_by_text("Paused, 1 new")).to_be_visible()
    await expect(entries).to_have_count(1)
    await visit.button("Resume").click()
    await expect(entries).to_have_count(2)
    await expect(entries.first).to_contain_text("while")


async def test_a_lost_connection_is_restored(open_dashboard: OpenDashboard) -> None:
    """Missed events are shown, and none is shown twice."""
    visit = await open_dashboard(path="/dashboard#log")
    # A page that hasn't requested its events yet would get the response below instead of the next page.
    await expect(visit.page.get_by_text("Live", exact=True)).to_be_visible()
    for key in ("before", "meanwhile"):
        publish(visit, key)
    before, _ = visit.gateway.app[EVENTS].history
    loss_was_seen = asyncio.Event()

    async def hold(route: Route) -> None:
        await loss_was_seen.wait()
        await route.continue_()

    async def break_off(route: Route) -> None:
        data = '{"timestamp": "2025-01-01T00:00:00.000Z", "modelKey": "before", "instanceId": null}'
        event = f"id: {before.number}\nevent: model_unload_start\ndata: {data}\n\n"
        await route.fulfill(content_type="text/event-stream", body=event)

    # The route added last is asked first: once broken off, then held.
    await visit.page.route("**/debug/stream", hold)
    await visit.page.route("**/debug/stream", break_off, times=1)
    await visit.page.reload()
    entries = visit.page.get_by_role("log").get_by_role("listitem")
    await expect(visit.page.get_by_text("Connection lost, trying again")).to_be_visible()
    loss_was_seen.set()
    await expect(visit.page.get_by_text("Live", exact=True)).to_be_visible()
    await expect(entries).to_have_count(2)
    await expect(entries.first).to_contain_text("meanwhile")


async def test_without_a_connection_the_page_says_so(
    open_dashboard: OpenDashboard,
) -> None:
    """When the gateway is back, all is requested again."""
    visit = await open_dashboard()
    visit.tolerated = 503

    async def refuse(route: Route) -> None:
        await route.fulfill(status=503)

    for path in ("stream", "requests"):
        await visit.page.route(f"**/debug/{path}", refuse)
    await visit.page.reload()
    await expect(visit.page.locator("#tile-running .big")).to_have_text("Unknown")
    await expect(visit.page.get_by_text("Nothing is running.")).to_be_hidden()
    banner = visit.page.get_by_text("The connection to the gateway is lost.")
    await expect(banner).to_be_visible()
    await expect(visit.page.get_by_text("Reachable", exact=True)).to_be_visible()
    visit.asked.clear()
    await visit.page.unroute_all()
    await expect(visit.page.get_by_text("Live", exact=True)).to_be_visible()
    await expect(banner).to_be_hidden()
    await expect(visit.page.locator("#tile-running .big")).to_have_text("0")
    asked = {url.removeprefix(f"{visit.gateway.base_url}/") for url in visit.asked}
    assert asked >= {"health/ready", "debug/stream", "debug/requests", "admin/models"}


async def test_a_request_that_failed_is_among_the_requests(open_dashboard: OpenDashboard) -> None:
    """Each kind of event comes with its errors."""
    visit = await open_dashboard(path="/dashboard#log")
    for operation in ("inference", "model_load"):
        event = ErrorEvent(operation=operation, error=f"The {operation} failed.", total_time_ms=3)
        visit.gateway.app[EVENTS].publish(event)
    entries = visit.page.get_by_role("log").get_by_role("listitem")
    await expect(entries).to_have_count(2)
    for kind, sentence in (("requests", "The inference failed."), ("models", "The model_load failed.")):
        await visit.page.get_by_label("Show", exact=True).select_option(kind)
        await expect(entries).to_have_count(1)
        await expect(entries).to_contain_text(sentence)
    await visit.page.get_by_label("Show", exact=True).select_option("LM Studio's log")
    await expect(visit.page.get_by_text("set lmstudio.log_monitoring.")).to_be_visible()


async def test_the_parser_takes_any_pieces(open_dashboard: OpenDashboard) -> None:
    """Cut anywhere, with each of the standard's line ends, comments and several data lines."""
    visit = await open_dashboard(path="/dashboard#log")
    text = (
        ": hello\r\n\r\nevent: a\rid: 7\rdata: one\rdata:two\r\r\n"
        "data: three\nretry: 1\n\nevent: none\n\ndata: cut"
    )
    events = await visit.page.evaluate(
        """async (text) => {
          const { SseParser } = await import("/dashboard/static/sse.js");
          return [1, 2, 3, 1000].map((size) => {
            const parser = new SseParser();
            const events = [];
            for (let at = 0; at < text.length; at += size) {
              events.push(...parser.feed(text.slice(at, at + size)));
            }
            return events;
          });
        }""",
        text,
    )
    messages = [
        {"name": "a", "data": "one\ntwo", "id": "7"},
        {"name": "message", "data": "three", "id": "7"},
    ]
    assert events == [messages] * 4
