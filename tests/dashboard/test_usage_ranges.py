"""The choices of the usage: its hours, days or months, and of which keys and models."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.dashboard.conftest import OpenDashboard
from tests.dashboard.test_usage import ROWS, cells, open_usage, table, used

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_range_and_grouping_are_chosen(open_dashboard: OpenDashboard) -> None:
    """7, 30 or 90 days, by key or model."""
    visit, ledger = await open_usage(open_dashboard)
    await expect(table(visit, "By key")).to_be_visible()
    await visit.page.get_by_label("By", exact=True).select_option("model")
    await expect(table(visit, "By model")).to_be_visible()
    await visit.page.get_by_label("Range").select_option("7 days")
    await expect(visit.page.get_by_role("img", name="the last 7 days")).to_be_visible()
    await visit.page.get_by_label("Range").select_option("90 days")
    await expect(visit.page.get_by_role("img", name="the last 90 days")).to_be_visible()
    assert [(query["by"][0], query["since"][0]) for query in ledger.queries] == [
        ("day,key", "2027-01-02"),
        ("day,model", "2027-01-02"),
        ("day,model", "2027-01-25"),
        ("day,model", "2026-11-03"),
    ]


async def test_the_last_hours_are_shown(open_dashboard: OpenDashboard) -> None:
    """Each by when it began."""
    rows = [
        {**used("", "anna", 1, 0, 0, 5, 7, 0, 100, 0), "hour": "2027-01-31T11:00:00.000Z"},
        {**used("", "anna", 1, 0, 0, 1, 2, 0, 100, 0), "hour": "2027-01-30T13:00:00.000Z"},
    ]
    visit, ledger = await open_usage(open_dashboard, timezone_id="UTC")
    await expect(table(visit, "By key")).to_be_visible()
    ledger.rows = rows
    await visit.page.get_by_label("Range").select_option("24 hours")
    chart = visit.page.locator("#usage-chart")
    await expect(chart).to_have_accessible_name(
        "Tokens per hour by key, the last 24 hours: 15 tokens, most at 11:00 AM; anna 15 tokens"
    )
    assert ledger.queries[-1] == {"by": ["hour,key"], "since": ["2027-01-30T13:00:00.000Z"]}
    hours = table(visit, "By hour and key").get_by_role("rowheader", name="M", exact=False)
    await expect(hours).to_have_text(["11:00 AM", "1:00 PM"])


async def test_the_last_months_are_shown(open_dashboard: OpenDashboard) -> None:
    """In one query, whose rows the gateway sums."""
    rows = [
        {**used("", "anna", 1, 0, 0, 5, 7, 0, 100, 0), "month": "2026-02"},
        {**used("", "ben", 1, 0, 0, 100, 2, 0, 100, 0), "month": "2027-01"},
    ]
    visit, ledger = await open_usage(open_dashboard)
    await expect(table(visit, "By key")).to_be_visible()
    ledger.rows = rows
    await visit.page.get_by_label("Range").select_option("12 months")
    await expect(visit.page.locator("#usage-chart")).to_have_accessible_name(
        "Tokens per month by key, the last 12 months: 114 tokens, most in Jan 2027; "
        "ben 102 tokens, anna 12 tokens"
    )
    assert ledger.queries[-1] == {"by": ["month,key"], "since": ["2026-02-01"]}
    months = table(visit, "By month and key").get_by_role("row")
    assert (await cells(months.nth(1)))[:3] == ["Jan 2027", "ben", "1"]
    assert (await cells(months.nth(2)))[:3] == ["Feb 2026", "anna", "1"]


async def test_the_models_of_one_key(open_dashboard: OpenDashboard) -> None:
    """Their sum is the key's, not the gateway's."""
    rows = [
        {**ROWS[0], "model": "qwen"},
        {**ROWS[1], "model": "llama"},
        {**ROWS[2], "model": "qwen"},
    ]
    visit, ledger = await open_usage(open_dashboard, rows)
    by = visit.page.get_by_label("By", exact=True)
    await expect(by.locator("option")).to_have_text(["key", "model", "models of anna", "models of ben"])
    await by.select_option("models of anna")
    totals = table(visit, "By model of anna").get_by_role("row")
    await expect(totals).to_have_count(4)
    assert [(await cells(totals.nth(index)))[:2] for index in (1, 2, 3)] == [
        ["qwen", "10"],
        ["llama", "3"],
        ["Total", "13"],
    ]
    assert ledger.queries[-1] == {"by": ["day,key,model"], "since": ["2027-01-02"]}
    await expect(by).to_have_value("of anna")
