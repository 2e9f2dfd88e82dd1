"""The view of the system: versions, memory, known faults, and the configuration in force."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Route, expect

from lmgateway import __version__, settings
from lmgateway.app import make_rules, put_in_force
from tests.dashboard.browsing import DESKTOP, MODEL, PHONE, Visit, check_schemes, check_widths, violations
from tests.dashboard.conftest import OpenDashboard

OWNER = "a-long-secret-of-the-house"
REPORTS = {"Metrics for Prometheus": "# TYPE lmgateway_", "Readiness of LM Studio": '"ok"'}
LOOKS = [DESKTOP, pytest.param(PHONE, marks=pytest.mark.long)]
FAULT = {"message": "LM Studio 0.4.19 has a known fault: it stops.", "remedy": "Install another version."}

pytestmark = pytest.mark.asyncio(loop_scope="session")


def apply(visit: Visit, folder: Path, text: str = "", **environ: str) -> None:
    """Put a configuration file in force, as a reload does."""
    file = folder / "config.toml"
    file.write_text(f'[auth]\napi_key = "{OWNER}"\n[lmstudio]\nbase_url = "{visit.studio.base_url}"\n{text}')
    loaded = settings.load(file=file, environ=environ, dotenv=folder / ".env")
    put_in_force(visit.gateway.app, make_rules(visit.gateway.app, loaded.config, loaded.reports()))


async def open_system(open_dashboard: OpenDashboard, key: str = OWNER, **options: Any) -> Visit:
    visit = await open_dashboard(path="/dashboard#system", api_key=OWNER, loaded=True, **options)
    if key == OWNER:
        await visit.log_in(OWNER)
    return visit


async def refresh(visit: Visit) -> None:
    await visit.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def setting(visit: Visit, path: str) -> Locator:
    return visit.page.locator("#config-rows tr").filter(has=visit.page.get_by_text(path, exact=True))


async def test_what_the_gateway_runs_on(open_dashboard: OpenDashboard) -> None:
    """Versions, memory, requests; of LM Studio its state and the sizes of what is loaded."""
    visit = await open_system(open_dashboard)
    gateway, studio = visit.page.locator("#system-gateway"), visit.page.locator("#system-boxes")
    await expect(gateway).to_contain_text(f"lmgateway{__version__}")
    await expect(gateway).to_contain_text("aiohttp 3.14")
    await expect(gateway).to_contain_text("MB of this process")
    await expect(gateway).to_contain_text("0 since the start, 0 failed, 0 now")
    await expect(studio).to_contain_text(visit.studio.base_url)
    await expect(studio).to_contain_text("Reachable, answers in")
    await expect(studio).to_contain_text("Version0.4.0")
    await expect(studio).to_contain_text("1 model, 2.0 GB, and their contexts in addition")
    await expect(studio.get_by_role("listitem")).to_have_text([f"{MODEL}2.0 GB"])
    await expect(visit.page.locator("#system-faults")).to_be_hidden()


async def test_an_lm_studio_that_is_away_says_what_to_do(open_dashboard: OpenDashboard) -> None:
    """What it has in memory is unknown, and not nothing."""
    visit = await open_system(open_dashboard)
    await expect(visit.page.locator("#system-boxes")).to_contain_text("Reachable")
    visit.tolerated = 503
    await visit.studio.stop()
    await refresh(visit)
    studio = visit.page.locator("#system-boxes")
    await expect(studio).to_contain_text("Not reachable. Start LM Studio's server there.")
    await expect(studio).to_contain_text("In memoryunknown")


async def test_the_configuration_and_a_reload(open_dashboard: OpenDashboard, tmp_path: Path) -> None:
    """Each value with its source. A reload changes the view, and a secret is never in the page."""
    visit = await open_system(open_dashboard)
    apply(visit, tmp_path, "[residency]\nmax_models = 2\n", LOG_LEVEL="debug")
    await refresh(visit)
    most = setting(visit, "residency.max_models")
    await expect(most.get_by_role("cell")).to_have_text(["2", str(tmp_path / "config.toml")])
    level = setting(visit, "logging.level")
    await expect(level.get_by_role("cell")).to_have_text(['"debug"', "environment (LOG_LEVEL)"])
    await expect(setting(visit, "auth.api_key").get_by_role("cell").first).to_have_text('"********"')
    assert OWNER not in await visit.page.content()
    apply(visit, tmp_path, "[residency]\nmax_models = 3\n")
    await refresh(visit)
    await expect(most.get_by_role("cell").first).to_have_text("3")
    await expect(level.get_by_role("cell").last).to_have_text("default")


async def test_a_setting_is_found(open_dashboard: OpenDashboard, tmp_path: Path) -> None:
    """By name, value or source; or all that somebody has set. The number is announced."""
    visit = await open_system(open_dashboard)
    apply(visit, tmp_path, "[residency]\nmax_models = 2\n")
    await refresh(visit)
    table, count = visit.page.locator("#config-rows tr"), visit.page.locator("#config-count")
    await expect(setting(visit, "residency.max_models")).to_be_visible()
    await expect(count).to_have_attribute("role", "status")
    find = visit.page.locator("#system-config").get_by_label("Search")
    await find.fill("RESIDENCY models")
    await expect(table.locator(".path")).to_have_text(["residency.max_models"])
    await expect(count).to_have_text(f"1 of {len(settings.SETTINGS)} settings · 3 aren't defaults")
    await find.fill("no such setting")
    await expect(visit.page.get_by_text("No setting matches.")).to_be_visible()
    await find.fill("")
    await visit.page.locator("#system-config").get_by_label("List").select_option("without defaults")
    await expect(table.locator(".path")).to_have_text(
        ["lmstudio.base_url", "auth.api_key", "residency.max_models"]
    )


async def test_what_waits_for_a_restart_says_so(open_dashboard: OpenDashboard) -> None:
    visit = await open_system(open_dashboard)
    port = {"path": "server.port", "value": "9000", "origin": "config.toml"}

    async def answer(route: Route) -> None:
        level = {"path": "logging.level", "value": '"info"', "origin": "default", "needsRestart": False}
        await route.fulfill(json={"settings": [{**port, "needsRestart": True}, level]})

    await visit.page.route("**/admin/config", answer)
    await refresh(visit)
    await expect(visit.page.locator("#config-rows .badge:visible")).to_have_text(["after a restart"])
    await expect(setting(visit, "server.port")).to_contain_text("after a restart")
    await visit.page.unroute_all(behavior="wait")


async def test_the_configuration_needs_admin(open_dashboard: OpenDashboard) -> None:
    """A key with observe sees the rest, and asks for nothing else."""
    visit = await open_system(open_dashboard, "")
    await visit.log_in(await visit.make_key("watcher", scopes=["observe"]))
    await expect(visit.page.locator("#system-gateway")).to_contain_text(__version__)
    await expect(visit.page.locator("#system-config")).to_be_hidden()
    assert not [url for url in visit.asked if "/admin/config" in url]


async def test_without_observe_there_is_no_system(open_dashboard: OpenDashboard) -> None:
    visit = await open_system(open_dashboard, "")
    await visit.log_in(await visit.make_key("loader", scopes=["models"]))
    await expect(visit.page.get_by_role("link", name="Models", exact=True)).to_be_visible()
    await expect(visit.page.get_by_role("link", name="System", exact=True)).to_be_hidden()
    await expect(visit.page.locator("#view-system")).to_be_hidden()
    assert not [url for url in visit.asked if "/debug/system" in url]


async def test_reports_that_need_the_key_open_in_the_page(open_dashboard: OpenDashboard) -> None:
    """A link couldn't send it. By the keyboard: the dialog has the focus, and gives it back."""
    visit = await open_system(open_dashboard)
    press, dialog = visit.page.keyboard.press, visit.page.get_by_role("dialog")
    for name, words in {
        "Metrics for Prometheus": "# TYPE lmgateway_",
        "Readiness of LM Studio": '"ok"',
    }.items():
        await visit.tab_to(name)
        await press("Enter")
        await expect(dialog.get_by_role("group", name=name)).to_contain_text(words)
        await press("Escape")
        await expect(visit.button(name)).to_be_focused()
    visit.tolerated = 503
    await visit.studio.stop()
    await press("Enter")
    await expect(dialog).to_contain_text('"unavailable"')
    assert await violations(visit.page) == []
    for name, path in {"API reference": "/docs", "OpenAPI document": "/openapi.json"}.items():
        link = visit.page.get_by_role("link", name=name, include_hidden=True)
        url = await link.evaluate("link => link.href")
        assert url == f"{visit.gateway.base_url}{path}"


@pytest.mark.parametrize("device", LOOKS, ids=["desktop", "phone"])
async def test_axe_finds_nothing_in_the_system(
    open_dashboard: OpenDashboard, tmp_path: Path, device: dict[str, Any]
) -> None:
    """With a known fault, in both colour schemes; nothing sticks out of the smallest phone."""
    visit = await open_system(open_dashboard, color_scheme="light", **device)

    async def answer(route: Route) -> None:
        response = await route.fetch()
        report = await response.json()
        report["boxes"][0]["faults"] = [FAULT]
        report["machine"] = None
        await route.fulfill(json=report)

    await visit.page.route("**/debug/system", answer)
    apply(visit, tmp_path, f'[models."{"long-" * 30}"]\naliases = ["{"a" * 100}"]\n')
    await refresh(visit)
    await expect(visit.page.get_by_role("list", name="Known faults")).to_contain_text(FAULT["remedy"])
    await expect(visit.page.locator("#system-gateway")).to_contain_text("hidden from the gateway's service")
    await expect(visit.page.get_by_text("a" * 100)).to_be_visible()
    await check_schemes(visit)
    await check_widths(visit, 1280, 768, 390, 320)
    await visit.page.unroute_all(behavior="wait")
