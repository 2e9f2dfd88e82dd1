"""What a caller sees: its own key, and only what its scopes open."""

from __future__ import annotations

import ast
import json
import shlex

import pytest
from playwright.async_api import Route, expect

from lmgateway.cli.client_snippets import Access, clients, fill
from tests.dashboard.browsing import MODEL, Visit
from tests.dashboard.conftest import OpenDashboard

pytestmark = pytest.mark.asyncio(loop_scope="session")
OWNER = "the owner's key"


async def open_as(open_dashboard: OpenDashboard, name: str, **settings: object) -> tuple[Visit, str]:
    """The dashboard of a named key, with its secret. What it isn't allowed to ask would be a complaint."""
    visit = await open_dashboard(api_key=OWNER, loaded=True)
    key = await visit.make_key(name, **settings)
    await visit.log_in(key)
    return visit, key


async def test_a_key_for_inference_sees_itself(open_dashboard: OpenDashboard) -> None:
    """Its name, rights and limits, and nothing of the others."""
    limits = {"tokensPerDay": 2000, "running": 2}
    visit, key = await open_as(open_dashboard, "anna", note="Anna's laptop", model=MODEL, limits=limits)
    page = visit.page
    view = visit.section("Your key: anna")
    await expect(view).to_contain_text("Anna's laptop")
    await expect(view).to_contain_text("0 of 2,000, 2,000 left")
    await expect(view).to_contain_text("At most 2 requests at once")
    await expect(page.locator("#connect-default")).to_have_text(MODEL)
    await expect(page.locator("#connect-models")).to_contain_text("qwen2.5-7b-instruct")
    for hidden in ("#view-now", "#view-people", "#live"):
        await expect(page.locator(hidden)).to_be_hidden()
    paths = {url.removeprefix(visit.gateway.base_url).partition("?")[0] for url in visit.asked}
    asked = {path for path in paths if not path.startswith("/dashboard")}
    assert asked == {"/admin/keys/self", "/api/v0/models"}
    assert key not in await page.content()


async def test_what_was_used_today_is_shown(open_dashboard: OpenDashboard) -> None:
    """In the numbers of /admin/keys/self."""
    visit, key = await open_as(open_dashboard, "anna", limits={"tokensPerDay": 2000})
    await expect(visit.page.get_by_text("0 of 2,000, 2,000 left")).to_be_visible()
    visit.pace.finish()
    async with visit.chat(key, max_tokens=20) as response:
        await response.read()
    headers = {"X-API-Key": key}
    async with visit.gateway.client.get(visit.gateway.url("/admin/keys/self"), headers=headers) as response:
        own = json.loads(await response.read())
    used, left = own["used"]["tokensPerDay"], own["left"]["tokensPerDay"]
    assert used >= 20
    assert used + left == 2000
    await visit.page.reload()
    await expect(visit.page.get_by_text(f"{used} of 2,000, {left:,} left")).to_be_visible()
    bar = visit.page.get_by_role("progressbar", name="Tokens today")
    await expect(bar).to_have_attribute("value", str(used))


async def test_the_lines_are_those_of_the_command_line(open_dashboard: OpenDashboard) -> None:
    """Of every client, to the letter but for quotes; the Python is valid, and no key is in them."""
    visit, key = await open_as(open_dashboard, "anna", model=MODEL)
    base = visit.gateway.base_url
    await expect(visit.page.get_by_role("group", name="Base URL")).to_have_text(f"{base}/v1")
    access = Access(base_url=base, key="sk-lm-…", model=MODEL)
    for client in clients():
        group = visit.page.get_by_role("group", name=client.name, exact=True)
        await expect(group).to_have_text(fill(client, access), use_inner_text=True)
    ast.parse(await visit.page.get_by_role("group", name="OpenAI's Python library").inner_text())
    assert key not in await visit.page.content()


async def test_a_model_is_chosen_and_quoted(open_dashboard: OpenDashboard) -> None:
    """Whatever its name is, the shell and JSON get it whole."""
    visit, _ = await open_as(open_dashboard, "anna")
    odd = 'it\'s "odd" $HOME'
    names = {
        "data": [
            {"id": MODEL, "type": "llm"},
            {"id": odd, "type": "vlm"},
            {"id": "vectors", "type": "embeddings"},
        ]
    }

    async def answer(route: Route) -> None:
        await route.fulfill(json=names)

    await visit.page.route("**/api/v0/models", answer)
    await visit.page.reload()
    select = visit.page.get_by_label("For the model")
    await expect(select.locator("option")).to_have_text([MODEL, odd])
    await select.select_option(odd)
    curl = visit.page.get_by_role("group", name="curl", exact=True)
    await expect(curl).to_contain_text("odd")
    words = shlex.split((await curl.inner_text()).replace("\\\n", " "))
    assert words[:2] == ["curl", f"{visit.gateway.base_url}/v1/chat/completions"]
    assert json.loads(words[words.index("-d") + 1])["model"] == odd
    claude = await visit.page.get_by_role("group", name="Claude Code").inner_text()
    assert shlex.split(claude)[-2] == f"CLAUDE_CODE_SUBAGENT_MODEL={odd}"


async def test_the_key_is_put_in_on_request(open_dashboard: OpenDashboard) -> None:
    """And is gone when the view is left."""
    visit, key = await open_as(open_dashboard, "anna")
    claude = visit.page.get_by_role("group", name="Claude Code")
    await expect(claude).to_contain_text("ANTHROPIC_AUTH_TOKEN='sk-lm-…'")
    await visit.button("Put my key in").click()
    await expect(visit.button("Put my key in")).to_have_attribute("aria-pressed", "true")
    await expect(claude).to_contain_text(f"ANTHROPIC_AUTH_TOKEN={key}\n", use_inner_text=True)
    await visit.go_to("Chat")
    await expect(visit.page.get_by_role("heading", name="Chat")).to_be_focused()
    assert key not in await visit.page.content()
    await visit.go_to("Connect")
    await expect(claude).to_contain_text("ANTHROPIC_AUTH_TOKEN='sk-lm-…'")
    await visit.button("Put my key in").click()
    await visit.button("Put my key in").click()
    assert key not in await visit.page.content()


async def test_a_gateway_without_a_key_has_none_to_put_in(open_dashboard: OpenDashboard) -> None:
    """Libraries insist on one all the same."""
    visit = await open_dashboard(path="/dashboard#connect")
    await expect(visit.page.get_by_role("group", name="Claude Code")).to_contain_text(
        "export ANTHROPIC_AUTH_TOKEN=none"
    )
    await expect(visit.button("Put my key in")).to_be_hidden()


async def test_a_phone_scans_the_base_url(open_dashboard: OpenDashboard) -> None:
    """The code is made when it is asked for; an address that no phone reaches is said."""
    visit, _ = await open_as(open_dashboard, "anna")
    async with visit.page.expect_request("**/dashboard/qr") as asked:
        await visit.page.get_by_text("On a phone").click()
    base = visit.gateway.base_url
    assert json.loads((await asked.value).post_data or "") == {"text": f"{base}/v1"}
    image = visit.page.get_by_role("img", name=f"QR code of {base}/v1")
    await expect(image).to_have_js_property("complete", value=True)
    assert await image.evaluate("node => node.naturalWidth") > 0
    await expect(visit.page.get_by_text("this address of the gateway's own machine")).to_be_visible()


async def test_a_snippet_is_copied(open_dashboard: OpenDashboard) -> None:
    """The result is announced."""
    visit, _ = await open_as(open_dashboard, "anna")
    await visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await visit.button("Copy the base URL").click()
    await expect(visit.page.get_by_role("status").filter(has_text="Copied.")).to_be_visible()
    assert await visit.page.evaluate("navigator.clipboard.readText()") == f"{visit.gateway.base_url}/v1"


async def test_without_the_scope_models_no_model_is_managed(open_dashboard: OpenDashboard) -> None:
    """The rest of the view is there; other keys and their requests can't be touched."""
    visit, _ = await open_as(open_dashboard, "watcher", scopes=["observe"])
    await expect(visit.page.get_by_text("Live", exact=True)).to_be_visible()
    async with visit.chat(OWNER):
        await expect(visit.page.get_by_role("list", name="Requests in flight")).to_contain_text(MODEL)
        await expect(visit.page.locator("#running button")).to_have_count(0)
    for hidden in ("#view-models", "#tile-active", "#view-connect"):
        await expect(visit.page.locator(hidden)).to_be_hidden()
    links = visit.page.get_by_role("navigation", name="Views").get_by_role("link")
    await expect(links).to_have_text(["Now", "People", "Connect", "Log", "System"])
    assert not [url for url in visit.asked if "/admin/models" in url]
    assert await visit.page.locator("#log-kind-studio").is_hidden()


async def test_own_requests_can_be_cancelled(open_dashboard: OpenDashboard) -> None:
    """A key with inference may, those of others need admin."""
    visit, key = await open_as(open_dashboard, "anna", scopes=["observe", "inference"])
    async with visit.chat(key), visit.chat(OWNER):
        running = visit.page.get_by_role("list", name="Requests in flight").get_by_role("listitem")
        await expect(running).to_have_count(2)
        await expect(visit.page.locator("#running").get_by_role("button")).to_have_count(1)
        own = running.filter(has_text="anna")
        await expect(own.get_by_role("button")).to_have_text("Cancel")


async def test_the_views_are_in_the_history(open_dashboard: OpenDashboard) -> None:
    """The back button works, and the focus follows."""
    visit, _ = await open_as(open_dashboard, "watcher", scopes=["observe"])
    page = visit.page
    await visit.go_to("Connect")
    await expect(page.get_by_role("heading", name="Your key: watcher")).to_be_focused()
    await expect(page).to_have_title("Connect · lmgateway")
    await expect(page.get_by_role("link", name="Connect")).to_have_attribute("aria-current", "page")
    await page.reload()
    await expect(page.get_by_role("heading", name="Your key: watcher")).to_be_visible()
    await page.go_back()
    await expect(page.get_by_role("heading", name="Last 100 requests")).to_be_visible()
    await expect(page.get_by_role("link", name="Now", exact=True)).to_have_attribute("aria-current", "page")
    await expect(page.locator("#view-connect")).to_be_hidden()


async def test_a_view_that_the_key_may_not_see_isnt_shown(open_dashboard: OpenDashboard) -> None:
    """Its link may be in a bookmark."""
    visit, _ = await open_as(open_dashboard, "anna")
    await visit.open("/dashboard#people")
    await visit.page.reload()
    await expect(visit.page.get_by_role("heading", name="Your key: anna")).to_be_visible()
    await expect(visit.page.locator("#view-people")).to_be_hidden()


@pytest.mark.parametrize(
    ("scopes", "heading"), [(["observe"], "Last 100 requests"), (["inference"], "Your key: anna")]
)
async def test_a_right_that_is_taken_away_leaves_the_page(
    open_dashboard: OpenDashboard, scopes: list[str], heading: str
) -> None:
    """The page shows at once what the key may still see. Without observe, its event stream is ended."""
    visit, _ = await open_as(open_dashboard, "anna", scopes=["admin"])
    await expect(visit.page.get_by_text("Live", exact=True)).to_be_visible()
    visit.tolerated = 403  # until the page learns of the change
    await visit.change_key("PATCH", "anna", scopes=scopes)
    await expect(visit.page.get_by_role("link", name="Models", exact=True)).to_be_hidden()
    await expect(visit.page.get_by_role("heading", name=heading)).to_be_visible()
