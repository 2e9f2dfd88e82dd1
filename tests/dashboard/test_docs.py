"""The API's page, which shows /openapi.json to people."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Locator, expect

from tests.dashboard.browsing import DESKTOP, PHONE, Visit, check_widths, violations
from tests.dashboard.conftest import OpenDashboard

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def open_docs(open_dashboard: OpenDashboard, anchor: str = "", **options: Any) -> Visit:
    visit = await open_dashboard(api_key="a key", path=f"/docs{anchor}", **options)
    await expect(visit.page.get_by_role("heading", name="Errors", level=2)).to_be_visible()
    return visit


def operation(visit: Visit, heading: str) -> Locator:
    """The line of this heading, with all that it opens to."""
    title = visit.page.get_by_role("heading", name=heading, exact=True)
    return visit.page.locator("details.operation").filter(has=title)


async def test_it_tells_how_to_ask_for_everything(open_dashboard: OpenDashboard) -> None:
    """Without a key: its fields, an answer, its errors, and a line that works when it is copied."""
    visit = await open_docs(open_dashboard)
    load = operation(visit, "POST /admin/models/load")
    await load.locator("summary").first.click()
    await expect(load.get_by_text("Needs a key with the scope models.")).to_be_visible()
    command = load.get_by_role("group", name="Command")
    await expect(command).to_contain_text(f"curl {visit.gateway.base_url}/admin/models/load")
    await expect(command).to_contain_text('-H "Authorization: Bearer $KEY"')
    await expect(command).to_contain_text('"modelKey": "qwen2.5-7b-instruct"')
    await expect(load.get_by_text("when it has had no request for so many seconds.")).to_be_visible()
    await expect(load.get_by_role("group", name="Example of 200")).to_contain_text('"status": "loaded"')
    await expect(load.get_by_text("validation_failed")).to_be_visible()
    await load.get_by_text("Fields of loadConfig").click()
    parallel = load.locator("div", has=visit.page.get_by_text("parallel", exact=True)).last
    await expect(parallel).to_contain_text("whole number ≥ 1 or null · only for an llm")
    await expect(load.get_by_text("offloadKVCacheToGpu")).to_be_visible()


async def test_streams_list_their_events(open_dashboard: OpenDashboard) -> None:
    """Those of /debug/stream."""
    visit = await open_docs(open_dashboard, "#getDebugStream")
    stream = operation(visit, "GET /debug/stream")
    await stream.get_by_text("Events", exact=True).click()
    for name in ("connected", "lagged", "inference_complete", "lmstudio_cache_stats"):
        await expect(stream.locator("dt").get_by_text(name, exact=True)).to_be_visible()


async def test_find(open_dashboard: OpenDashboard) -> None:
    """Few remain of sixty."""
    visit = await open_docs(open_dashboard)
    await visit.page.get_by_label("Find").fill("unload")
    await expect(operation(visit, "POST /admin/models/unload")).to_be_visible()
    await expect(operation(visit, "POST /admin/models/load")).to_be_hidden()
    await expect(visit.page.get_by_text("2 of ")).to_be_visible()


async def test_a_link_opens_its_operation(open_dashboard: OpenDashboard) -> None:
    """The address names the opened operation, so that it can be shared."""
    visit = await open_docs(open_dashboard, "#postAdminModelsActivate")
    await expect(
        operation(visit, "POST /admin/models/activate").get_by_text("Nothing is loaded.")
    ).to_be_visible()
    await operation(visit, "GET /health").locator("summary").first.click()
    await expect(visit.page).to_have_url(f"{visit.gateway.base_url}/docs#getHealth")


async def test_the_keyboard_opens_an_operation(open_dashboard: OpenDashboard) -> None:
    """No mouse is needed."""
    visit = await open_docs(open_dashboard)
    await visit.page.get_by_label("Find").fill("/debug/metrics")
    await visit.tab_to("GET/debug/metricsGet response times, token counts and error rates")
    await visit.page.keyboard.press("Enter")
    example = operation(visit, "GET /debug/metrics").get_by_role("group", name="Example of 200")
    await expect(example).to_contain_text("medianResponseTimeMs")
    await visit.tab_to("Command")


@pytest.mark.parametrize(
    ("device", "looks"),
    [
        (DESKTOP, ["light"]),
        pytest.param(DESKTOP, ["dark"], marks=pytest.mark.long),
        pytest.param(PHONE, ["light"], marks=pytest.mark.long),
    ],
    ids=["desktop", "dark", "phone"],
)
async def test_everybody_can_read_it(
    open_dashboard: OpenDashboard, device: dict[str, Any], looks: list[Any]
) -> None:
    """By axe's rules, and without horizontal scrolling from the smallest phone on."""
    visit = await open_docs(open_dashboard, **device)
    for heading in ("POST /admin/models/unload", "GET /debug/stream"):
        await operation(visit, heading).locator("summary").first.click()
        below = operation(visit, heading).locator("details")
        await below.evaluate_all("(nodes) => nodes.forEach((node) => { node.open = true; })")
    for look in looks:
        await visit.page.emulate_media(color_scheme=look)
        assert await violations(visit.page) == []
    await check_widths(visit, device["viewport"]["width"], 320)


async def test_a_gateway_without_a_key_asks_for_none(open_dashboard: OpenDashboard) -> None:
    """A line to copy has nothing in it that isn't needed."""
    visit = await open_dashboard(path="/docs#getAdminModels")
    command = operation(visit, "GET /admin/models").get_by_role("group", name="Command")
    await expect(command).to_have_text(f"curl {visit.gateway.base_url}/admin/models")
