"""What a caller sees: its own key, and only what its scopes open."""

from __future__ import annotations

import ast
import json
import shlex

import pytest
from playwright.async_api import expect

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
    for hidden in ("#view-now", "#view-usage", "#view-keys", "#views", "#live"):
        await expect(page.locator(hidden)).to_be_hidden()
    paths = {url.removeprefix(visit.gateway.base_url).partition("?")[0] for url in visit.asked}
    asked = {path for path in paths if not path.startswith("/dashboard")}
    assert asked == {"/admin/keys/self", "/v1/models"}
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


async def test_the_snippets_are_right(open_dashboard: OpenDashboard) -> None:
    """Python parses, the shell's words are the gateway's address and a JSON body, and no key is in them."""
    visit, _ = await open_as(open_dashboard, "anna", model=MODEL)
    base = visit.gateway.base_url
    await expect(visit.page.get_by_role("group", name="Base URL")).to_have_text(f"{base}/v1")
    texts = {
        name: await visit.page.get_by_role("group", name=name, exact=True).inner_text()
        for name in ("OpenAI's Python library", "Claude Code", "curl")
    }
    assert all("sk-lm-…" in text for text in texts.values())
    calls = [
        node for node in ast.walk(ast.parse(texts["OpenAI's Python library"])) if isinstance(node, ast.Call)
    ]
    keywords = {one.arg: one.value for call in calls for one in call.keywords}
    assert ast.literal_eval(keywords["base_url"]) == f"{base}/v1"
    assert ast.literal_eval(keywords["model"]) == MODEL
    assert f"export ANTHROPIC_BASE_URL={base}\n" in texts["Claude Code"]
    words = shlex.split(texts["curl"].replace("\\\n", " "))
    assert words[:2] == ["curl", f"{base}/v1/chat/completions"]
    assert json.loads(words[words.index("-d") + 1])["model"] == MODEL


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
    await expect(links).to_have_text(["Now", "Usage", "Connect", "Log", "System"])
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
    await visit.open("/dashboard#keys")
    await visit.page.reload()
    await expect(visit.page.get_by_role("heading", name="Your key: anna")).to_be_visible()
    await expect(visit.page.locator("#view-keys")).to_be_hidden()


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
    await expect(visit.page.get_by_role("link", name="Keys", exact=True)).to_be_hidden()
    await expect(visit.page.get_by_role("heading", name=heading)).to_be_visible()
