"""The keys in the view of people: the list, and how a key is changed, rotated and revoked."""

from __future__ import annotations

import json

import pytest
from playwright.async_api import expect

from tests.dashboard.conftest import OpenDashboard
from tests.dashboard.key_pages import (
    EVERYTHING,
    dialog,
    open_keys,
    row,
    shown_secret,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_list_says_what_each_key_may_and_used(open_dashboard: OpenDashboard) -> None:
    """And it is searched by name and note."""
    visit = await open_keys(open_dashboard)
    await visit.make_key(
        "anna",
        note="Her laptop",
        scopes=["inference", "tools"],
        models=["qwen*"],
        model="qwen2.5-7b-instruct",
        limits={"requestsPerMinute": 30, "tokensPerDay": 200000},
    )
    await visit.make_key("ben", expiresAt="2999-01-01T00:00:00Z")
    anna, ben = row(visit, "anna"), row(visit, "ben")
    for text in ("Her laptop", "inference, tools", "models qwen*", "default qwen2.5-7b-instruct"):
        await expect(anna).to_contain_text(text)
    await expect(anna.locator(".limits")).to_have_text(
        "0 of 30 requests this minute0 of 200,000 tokens today"
    )
    await expect(anna.locator(".today")).to_have_text("12 requests1,234 tokens")
    await expect(anna.locator(".month")).to_have_text("12 requests1,234 tokens")
    await expect(ben.locator(".today")).to_have_text("0 requests0 tokens")
    await expect(ben.locator(".used")).to_contain_text("never")
    await expect(ben.locator(".used")).to_contain_text("2999")
    await visit.page.get_by_label("Find").fill("LAPTOP")
    await expect(ben).to_be_hidden()
    await expect(visit.page.get_by_text("1 of 2 keys")).to_be_visible()


async def test_only_what_changed_is_sent(open_dashboard: OpenDashboard) -> None:
    """What was emptied is null; what the dialog doesn't know is untouched."""
    visit = await open_keys(open_dashboard)
    await visit.make_key(
        "anna",
        note="Her laptop",
        limits={"requestsPerMinute": 30, "tokensPerDay": 200000},
        userHeader="X-User",
        expiresAt="2999-01-01T00:00:30Z",
    )
    await visit.button("Change anna").click()
    page = visit.page
    await expect(page.get_by_label("Requests a minute")).to_have_value("30")
    await page.get_by_label("Note").fill("")
    await page.get_by_label("Tokens a day").fill("")
    await page.get_by_label("Requests a minute").fill("5")
    await page.get_by_role("checkbox", name="tools:").check()
    async with page.expect_request(lambda request: request.method == "PATCH") as sent:
        await visit.button("Save").click()
    assert json.loads((await sent.value).post_data or "") == {
        "note": None,
        "scopes": ["inference", "tools"],
        "limits": {"requestsPerMinute": 5, "tokensPerDay": None},
    }
    await expect(page.locator("#notices")).to_contain_text("anna was changed.")
    await expect(visit.button("Change anna")).to_be_focused()
    await expect(row(visit, "anna").locator(".limits")).to_have_text("0 of 5 requests this minute")


async def test_a_rotated_key_has_its_grace(open_dashboard: OpenDashboard) -> None:
    """The old secret is good for as long as was chosen."""
    visit = await open_keys(open_dashboard)
    old = await visit.make_key("anna")
    await visit.button("Rotate anna").click()
    await visit.page.get_by_label("The present secret ends").select_option("after 1 day")
    async with visit.page.expect_request(lambda request: request.url.endswith("/rotate")) as sent:
        await visit.button("Rotate").click()
    assert json.loads((await sent.value).post_data or "") == {"graceSeconds": 86400}
    new = await shown_secret(visit, "anna")
    await visit.button("Close").click()
    assert [await visit.status_of(key) for key in (old, new)] == [200, 200]
    await visit.button("Rotate anna").click()
    await visit.button("Rotate").click()
    newest = await shown_secret(visit, "anna")
    assert [await visit.status_of(key) for key in (old, new, newest)] == [401, 401, 200]
    await visit.button("Close").click()
    assert newest[14:] not in await visit.page.evaluate(EVERYTHING)


async def test_a_tab_goes_on_with_its_rotated_key(open_dashboard: OpenDashboard) -> None:
    """Its old secret ends, and it isn't sent back to the login."""
    visit = await open_keys(open_dashboard)
    await visit.button("Forget key").click()
    await visit.log_in(await visit.make_key("me", scopes=["admin"]))
    await visit.button("Rotate me").click()
    await visit.page.get_by_label("The present secret ends").select_option("after 1 hour")
    await visit.button("Rotate").click()
    new = await shown_secret(visit, "me")
    await visit.button("Close").click()
    assert await visit.page.evaluate("sessionStorage.getItem('lmgateway.key')") == new
    await visit.page.reload()
    await expect(row(visit, "me")).to_contain_text("this tab's")


async def test_revoking_needs_a_confirmation(open_dashboard: OpenDashboard) -> None:
    """It names the key and its last use; the focus isn't lost with the row."""
    visit = await open_keys(open_dashboard)
    key = await visit.make_key("anna")
    assert await visit.status_of(key) == 200
    await visit.page.reload()
    await visit.button("Revoke anna").click()
    await expect(visit.page.get_by_role("dialog", name="Revoke anna?")).to_contain_text(
        "It was last used just now."
    )
    await visit.button("Cancel").click()
    assert await visit.status_of(key) == 200
    await visit.button("Revoke anna").click()
    await dialog(visit).get_by_role("button", name="Revoke anna").click()
    await expect(row(visit, "anna")).to_be_hidden()
    await expect(visit.page.get_by_role("heading", name="Keys", exact=True)).to_be_focused()
    await expect(visit.page.locator("#notices")).to_contain_text("anna was revoked.")
    assert await visit.status_of(key) == 401


async def test_what_others_change_is_shown(open_dashboard: OpenDashboard) -> None:
    """By the events about keys."""
    visit = await open_keys(open_dashboard)
    await visit.make_key("anna")
    await expect(row(visit, "anna")).to_be_visible()
    await visit.change_key("PATCH", "anna", note="The other laptop")
    await expect(row(visit, "anna")).to_contain_text("The other laptop")
    await visit.change_key("DELETE", "anna")
    await expect(row(visit, "anna")).to_be_hidden()


async def test_a_note_is_never_markup(open_dashboard: OpenDashboard) -> None:
    """It is any text."""
    visit = await open_keys(open_dashboard)
    await visit.make_key("anna", note="<img src=x onerror=alert(1)>")
    await expect(row(visit, "anna")).to_contain_text("<img src=x onerror=alert(1)>")
    assert await visit.page.locator("#keys-rows img").count() == 0
