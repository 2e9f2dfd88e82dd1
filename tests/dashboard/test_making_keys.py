"""Making a key: shown once, copied, and its mistakes."""

from __future__ import annotations

import json
import re
from urllib.parse import unquote

import pytest
from playwright.async_api import Route, expect

from tests.dashboard.browsing import MODEL
from tests.dashboard.conftest import OpenDashboard
from tests.dashboard.key_pages import (
    EVERYTHING,
    dialog,
    make,
    open_keys,
    row,
    shown_secret,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Microtasks run before the next event.
CLOSE_AND_FIND_THE_SECRET = """
async () => {
  document.querySelector("dialog[open] button[type=submit]").click();
  for (let turn = 0; turn < 10; turn++) await null;
  return document.querySelector(".secret");
}
"""


async def test_a_key_is_made_and_shown_once(open_dashboard: OpenDashboard) -> None:
    """It works, it can be copied, and then it is nowhere in the page."""
    visit = await open_keys(open_dashboard)
    await expect(
        visit.page.get_by_text("There are no named keys yet, so all use the owner's.")
    ).to_be_visible()
    await visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    secret = await make(visit, "anna")
    assert await visit.status_of(secret) == 200
    await expect(visit.button("Copy the key")).to_be_focused()
    await visit.button("Copy the key").click()
    await expect(dialog(visit).get_by_role("status").first).to_have_text("Copied.")
    assert await visit.page.evaluate("navigator.clipboard.readText()") == secret
    await visit.button("Copy the base URL").click()
    await expect(dialog(visit).get_by_role("status").last).to_have_text("Copied.")
    assert await visit.page.evaluate("navigator.clipboard.readText()") == f"{visit.gateway.base_url}/v1"
    assert secret in await visit.page.evaluate(EVERYTHING)
    await visit.button("Close").click()
    await expect(visit.button("Make a key")).to_be_focused()
    await expect(row(visit, "anna")).to_contain_text(secret[:14])
    assert secret[14:] not in await visit.page.evaluate(EVERYTHING)


async def test_a_new_key_signs_a_phone_in(open_dashboard: OpenDashboard) -> None:
    """By a QR code of a link that has the key where no server sees it; it leaves with the dialog."""
    visit = await open_keys(open_dashboard)
    secret = await make(visit, "anna")
    async with visit.page.expect_request("**/dashboard/qr") as asked:
        await dialog(visit).get_by_text("Sign in on a phone").click()
    link = json.loads((await asked.value).post_data or "")["text"]
    page, fragment = link.split("#")
    assert page == f"{visit.gateway.base_url}/dashboard"
    assert unquote(fragment) == f"key={secret}"
    code = visit.page.get_by_role("img", name="QR code of a link that signs in with the key anna")
    await expect(code).to_have_js_property("complete", value=True)
    assert await code.evaluate("node => node.naturalWidth") > 0
    await visit.button("Close").click()
    await expect(code).to_have_count(0)
    assert not [url for url in visit.asked if secret[14:] in unquote(url)]


async def test_a_secret_leaves_the_page_with_its_dialog(open_dashboard: OpenDashboard) -> None:
    """Not with an event that a busy browser delivers later."""
    visit = await open_keys(open_dashboard)
    await make(visit, "anna")
    assert await visit.page.evaluate(CLOSE_AND_FIND_THE_SECRET) is None


async def test_a_browser_without_a_clipboard_copies_too(open_dashboard: OpenDashboard) -> None:
    """Without TLS, scripts have none on another machine than the gateway's."""
    visit = await open_keys(open_dashboard)
    await visit.page.context.grant_permissions(["clipboard-read"])
    await visit.page.evaluate(
        "() => { navigator.clipboard.writeText = () => Promise.reject(new Error('not allowed')); }"
    )
    secret = await make(visit, "anna")
    await visit.button("Copy the key").click()
    await expect(dialog(visit).get_by_role("status").first).to_have_text("Copied.")
    assert await visit.page.evaluate("navigator.clipboard.readText()") == secret


async def test_a_secret_isnt_lost_with_an_early_escape(open_dashboard: OpenDashboard) -> None:
    """The key is made although its dialog was left while the request was under way."""
    visit = await open_keys(open_dashboard)

    async def leave(route: Route) -> None:
        await visit.page.keyboard.press("Escape")
        await route.fallback()

    await visit.page.route("**/admin/keys", leave, times=1)
    secret = await make(visit, "anna")
    assert await visit.status_of(secret) == 200


async def test_the_first_key_of_a_gateway_without_keys(open_dashboard: OpenDashboard) -> None:
    """This tab goes on with the new key, and only this tab."""
    visit = await open_keys(open_dashboard, api_key="")
    await expect(visit.page.get_by_text("The first key must have the scope admin")).to_be_visible()
    secret = await make(visit, "me")
    await expect(dialog(visit)).to_contain_text("This tab uses it from now on")
    await visit.button("Close").click()
    await expect(row(visit, "me")).to_contain_text("this tab's")
    await expect(visit.button("Forget key")).to_be_visible()
    await expect(visit.page.get_by_text("Live", exact=True)).to_be_visible()
    assert await visit.page.evaluate("({...sessionStorage})") == {"lmgateway.key": secret}
    assert secret not in await visit.page.content()
    await visit.page.reload()
    await expect(row(visit, "me")).to_be_visible()
    assert await visit.status_of("") == 401


async def test_requests_meanwhile_dont_end_the_first_key(open_dashboard: OpenDashboard) -> None:
    """The page asks without a key until it has the new one: those requests are sent again with it."""
    visit = await open_keys(open_dashboard, api_key="")
    visit.tolerated = 401

    async def answer_late(route: Route) -> None:
        response = await route.fetch()
        async with visit.page.expect_response(lambda other: other.status == 401):
            await visit.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        await route.fulfill(response=response)

    await visit.page.route("**/admin/keys", answer_late, times=1)
    async with visit.page.expect_response(lambda answer: "/debug/requests" in answer.url and answer.ok):
        await make(visit, "me")
    await visit.button("Close").click()
    await expect(row(visit, "me")).to_be_visible()
    await expect(visit.page.locator("#login")).to_be_hidden()
    await expect(visit.page.locator("#requests-mistake")).to_be_empty()


async def test_the_first_key_must_have_admin(open_dashboard: OpenDashboard) -> None:
    """The gateway's sentence stands at the form, and nothing is made."""
    visit = await open_keys(open_dashboard, api_key="")
    visit.tolerated = 409
    await visit.button("Make a key").click()
    await visit.page.get_by_label("Name", exact=True).fill("me")
    await visit.page.get_by_role("checkbox", name="admin:").uncheck()
    await visit.button("Make").click()
    await expect(dialog(visit).get_by_role("alert")).to_contain_text(
        "The first key must have the scope admin"
    )
    assert await visit.status_of("") == 200


async def test_mistakes_stand_at_their_fields(open_dashboard: OpenDashboard) -> None:
    """Also in the part that is folded away; the first one has the focus, and nothing typed is lost."""
    visit = await open_keys(open_dashboard)
    visit.tolerated = 400
    await visit.button("Make a key").click()
    page = visit.page
    await page.get_by_label("Name", exact=True).fill("anna")
    await page.get_by_role("textbox", name="Models", exact=True).fill("qwen*")
    await page.get_by_label("Default model").fill(MODEL)
    await page.get_by_text("Addresses, class and share").click()
    await page.get_by_label("Addresses", exact=True).fill("10.0.0.1\nnowhere")
    await page.get_by_text("Addresses, class and share").click()
    await visit.button("Make").click()
    model, addresses = page.get_by_label("Default model"), page.get_by_label("Addresses", exact=True)
    await expect(model).to_be_focused()
    await expect(model).to_have_accessible_description(re.compile("isn't one of its models"))
    await expect(page.get_by_role("textbox", name="Models", exact=True)).to_have_attribute(
        "aria-invalid", "false"
    )
    await expect(addresses).to_be_visible()
    await expect(addresses).to_have_accessible_description(re.compile(r"nowhere: Expected an address"))
    await model.fill("qwen2.5-7b-instruct")
    await addresses.fill("10.0.0.1")
    await visit.button("Make").click()
    await shown_secret(visit, "anna")
    await visit.button("Close").click()
    await expect(row(visit, "anna")).to_contain_text("without a key from 10.0.0.1")


async def test_a_wrong_name_stands_at_the_name(open_dashboard: OpenDashboard) -> None:
    """And is corrected there."""
    visit = await open_keys(open_dashboard)
    visit.tolerated = 400
    await visit.button("Make a key").click()
    name = visit.page.get_by_label("Name", exact=True)
    await name.fill("Anna Smith")
    await visit.button("Make").click()
    await expect(name).to_have_attribute("aria-invalid", "true")
    await expect(name).to_have_accessible_description(re.compile(r"lower-case.*For example, anna-smith\.$"))
    assert "`" not in await dialog(visit).inner_text()
    await expect(dialog(visit).get_by_role("alert")).to_have_text("Nothing was saved. Change what is marked.")
    await name.fill("anna-smith")
    await visit.button("Make").click()
    await shown_secret(visit, "anna-smith")


async def test_a_taken_name_is_a_sentence_at_the_form(open_dashboard: OpenDashboard) -> None:
    """What was typed stays."""
    visit = await open_keys(open_dashboard)
    await visit.make_key("anna")
    visit.tolerated = 409
    await visit.button("Make a key").click()
    name = visit.page.get_by_label("Name", exact=True)
    await name.fill("anna")
    await visit.button("Make").click()
    await expect(dialog(visit).get_by_role("alert")).to_contain_text("There is a key anna already.")
    await expect(name).to_have_value("anna")
