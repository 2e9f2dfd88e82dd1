"""The usage per hour, day and month: the chart, the tables and the CSV."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Locator, Route, expect

from tests.dashboard.browsing import Visit
from tests.dashboard.conftest import OpenDashboard
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.asyncio(loop_scope="session")
OWNER = "the owner's key"
COLUMNS = (
    "requests",
    "errors",
    "refused",
    "promptTokens",
    "completionTokens",
    "reasoningTokens",
    "gpuMs",
    "untold",
)
# How many pixels of the chart have the colour of a swatch.
COLOURED = """
(swatch) => {
  const canvas = document.querySelector("#usage-chart canvas");
  const image = new OffscreenCanvas(canvas.width, canvas.height);
  const copy = image.getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
  const { color } = getComputedStyle(document.querySelector(swatch));
  const [red, green, blue] = color.match(/\\d+/g).map(Number);
  let found = 0;
  for (let at = 0; at < data.length; at += 4) {
    found += data[at] === red && data[at + 1] === green && data[at + 2] === blue;
  }
  return found;
}
"""
CSV = "day,key,requests\n2027-01-31,anna,3\n"


def used(day: str, group: str, *numbers: int) -> dict[str, object]:
    """A row of the ledger, by key and by model."""
    return {"day": day, "key": group, "model": group, **dict(zip(COLUMNS, numbers, strict=True))}


ROWS = [
    used("2027-01-30", "anna", 10, 1, 2, 1000, 500, 100, 65_000, 1),
    used("2027-01-31", "anna", 3, 0, 0, 300, 50, 0, 5_000, 0),
    used("2027-01-31", "ben", 4, 2, 1, 400, 2000, 0, 3_600_000, 2),
]
TOTAL = dict(zip(COLUMNS, (17, 3, 3, 1700, 2550, 100, 3_670_000, 3), strict=True))


class Ledger:
    """Answers /admin/usage with a report, and remembers the queries."""

    def __init__(self, rows: list[dict[str, object]]) -> None:
        self.rows = rows
        self.queries: list[dict[str, list[str]]] = []

    async def answer(self, route: Route) -> None:
        query = parse_qs(urlsplit(route.request.url).query)
        assert route.request.headers["x-api-key"] == OWNER
        if query["by"] == ["key"]:  # of the list of keys
            await route.fulfill(json={"rows": [], "total": TOTAL})
            return
        self.queries.append(query)
        if "format" in query:
            await route.fulfill(body=CSV, content_type="text/csv")
        else:
            await route.fulfill(json={"rows": self.rows, "total": TOTAL})


async def open_usage(
    open_dashboard: OpenDashboard, rows: list[dict[str, object]] = ROWS, **options: Any
) -> tuple[Visit, Ledger]:
    """The usage on the last day of January 2027."""
    visit, ledger = await open_dashboard(api_key=OWNER, **options), Ledger(rows)
    await visit.page.clock.set_fixed_time("2027-01-31T12:00:00")
    await visit.page.route("**/admin/usage?*", ledger.answer)
    await visit.log_in(OWNER)
    await visit.go_to("People")
    return visit, ledger


def table(visit: Visit, name: str) -> Locator:
    return visit.page.get_by_role("table", name=name)


async def cells(row: Locator) -> list[str]:
    return await row.locator("th, td").all_inner_texts()


async def test_the_tables_have_the_ledgers_numbers(open_dashboard: OpenDashboard) -> None:
    """Summed by key, and each day's; the latest day first."""
    visit, ledger = await open_usage(open_dashboard)
    totals = table(visit, "By key").get_by_role("row")
    await expect(totals).to_have_count(4)
    assert [await cells(totals.nth(index)) for index in range(4)] == [
        [
            "Key",
            "Requests",
            "Errors",
            "Refused",
            "Tokens in",
            "Tokens out",
            "Reasoning",
            "GPU time",
            "Not counted",
        ],
        ["anna", "13", "1", "2", "1,300", "550", "100", "1 min 10 s", "1"],
        ["ben", "4", "2", "1", "400", "2,000", "0", "1 h 0 min", "2"],
        ["Total", "17", "3", "3", "1,700", "2,550", "100", "1 h 1 min", "3"],
    ]
    days = table(visit, "By day and key").get_by_role("row")
    assert [(await cells(days.nth(index)))[:4] for index in (1, 2, 3)] == [
        ["Jan 31", "anna", "3", "0"],
        ["Jan 31", "ben", "4", "2"],
        ["Jan 30", "anna", "10", "1"],
    ]
    assert ledger.queries == [{"by": ["day,key"], "since": ["2027-01-02"]}]


async def test_the_chart_has_the_same_numbers(open_dashboard: OpenDashboard) -> None:
    """A bar of each key and day, as high as its share; a screen reader gets their sums."""
    visit, _ = await open_usage(open_dashboard)
    chart = visit.page.get_by_role("img", name="Tokens per day by key, the last 30 days: 4,250 tokens")
    await expect(chart).to_have_accessible_name(
        "Tokens per day by key, the last 30 days: 4,250 tokens, most on Jan 31; "
        "ben 2,400 tokens, anna 1,850 tokens"
    )
    await expect(visit.page.get_by_role("list", name="Legend").get_by_role("listitem")).to_have_text(
        ["ben", "anna"]
    )
    ben, anna = [await visit.page.evaluate(COLOURED, f".series-{index}") for index in (0, 1)]
    assert ben / anna == pytest.approx(2400 / (1500 + 350), rel=0.05)
    box = await chart.bounding_box()
    assert box is not None
    await chart.hover(position={"x": box["width"] - 40, "y": 100})
    await expect(visit.page.locator("#usage-pointed")).to_have_text(
        "Jan 31: ben 2,400 tokens, anna 350 tokens"
    )
    await visit.page.get_by_label("Chart").select_option("requests")
    await expect(visit.page.locator("#usage-chart")).to_have_accessible_name(
        "Requests per day by key, the last 30 days: 17 requests, most on Jan 30; "
        "anna 13 requests, ben 4 requests"
    )


async def test_many_keys_are_drawn_as_the_largest_and_the_rest(open_dashboard: OpenDashboard) -> None:
    """There are as many colours as can be told apart; the table has all."""
    rows = [used("2027-01-31", f"key-{n}", n, 0, 0, n, 0, 0, 0, 0) for n in range(1, 11)]
    visit, _ = await open_usage(open_dashboard, rows)
    legend = visit.page.get_by_role("list", name="Legend").get_by_role("listitem")
    largest = [f"key-{n}" for n in (10, 9, 8, 7, 6, 5)]
    await expect(legend).to_have_text([*largest, "all others"])
    assert await visit.page.evaluate(COLOURED, ".series-6") > 0
    await expect(table(visit, "By key").get_by_role("row")).to_have_count(12)


async def test_without_requests_it_says_so(open_dashboard: OpenDashboard) -> None:
    """An empty chart would look like a fault."""
    visit, _ = await open_usage(open_dashboard, [])
    await expect(visit.page.get_by_text("No request has ended in the last 30 days.")).to_be_visible()
    await expect(visit.page.locator("#usage-data")).to_be_hidden()
    await expect(visit.button("Download CSV")).to_be_hidden()


async def test_the_csv_is_downloaded_with_the_key(open_dashboard: OpenDashboard) -> None:
    """A link couldn't send it."""
    visit, ledger = await open_usage(open_dashboard)
    async with visit.page.expect_download() as downloading:
        await visit.button("Download CSV").click()
    download = await downloading.value
    assert download.suggested_filename == "usage-2027-01-02-2027-01-31.csv"
    assert await asyncio.to_thread(Path(await download.path()).read_text) == CSV
    assert ledger.queries[-1] == {"by": ["day,key"], "since": ["2027-01-02"], "format": ["csv"]}


async def test_a_failure_is_a_sentence(open_dashboard: OpenDashboard) -> None:
    """Old numbers are taken away."""
    visit, _ = await open_usage(open_dashboard)
    await expect(table(visit, "By key")).to_be_visible()
    visit.tolerated = 503

    async def fail(route: Route) -> None:
        await route.fulfill(status=503, json={"error": "The database can't be read."})

    await visit.page.route("**/admin/usage?*", fail)
    await visit.page.get_by_label("Range").select_option("7 days")
    # The list of keys, which has their usage too, may ask meanwhile, and fail alike.
    mistake = visit.section("Usage").get_by_role("alert")
    await expect(mistake).to_have_text("The database can't be read.")
    await expect(table(visit, "By key")).to_be_hidden()


async def test_the_page_agrees_with_the_api(open_dashboard: OpenDashboard) -> None:
    """What was really used, in the tables, as CSV, and in the list of keys."""
    visit = await open_dashboard(api_key=OWNER, loaded=True)
    key = await visit.make_key("anna")
    visit.pace.finish()
    for sender in (key, key, OWNER):
        async with visit.chat(sender, max_tokens=20) as response:
            await response.read()

    async def report() -> Any:
        url = visit.gateway.url("/admin/usage?by=key")
        async with visit.gateway.client.get(url, headers={"X-API-Key": OWNER}) as response:
            return json.loads(await response.read())

    async with asyncio.timeout(PATIENCE_SECONDS):
        while (usage := await report())["total"]["requests"] < 3:
            await asyncio.sleep(0.05)
    anna = next(row for row in usage["rows"] if row["key"] == "anna")
    assert (anna["requests"], anna["completionTokens"]) == (2, 40)
    await visit.log_in(OWNER)
    await visit.go_to("People")
    row = table(visit, "By key").get_by_role("row", name="anna")
    shown = [f"{anna[name]:,}" for name in COLUMNS[:6]]
    await expect(row.locator("td.number")).to_contain_text([*shown, "s", f"{anna['untold']:,}"])
    async with visit.page.expect_download() as downloading:
        await visit.button("Download CSV").click()
    text = await asyncio.to_thread(Path(await (await downloading.value).path()).read_text)
    lines = {line["key"]: line for line in csv.DictReader(io.StringIO(text))}
    assert [lines["anna"][name] for name in COLUMNS[:6]] == [str(anna[name]) for name in COLUMNS[:6]]
    await visit.go_to("People")
    tokens = anna["promptTokens"] + anna["completionTokens"]
    today = visit.page.get_by_role("row").filter(has=visit.button("Change anna")).locator(".today")
    await expect(today).to_have_text(f"2 requests{tokens} tokens")
