"""One browser for the whole folder, so its tests share an event loop; a gateway and a tab for each test."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect

from lmgateway.simulator import Simulator
from tests.dashboard.browsing import Stepwise, Visit, new_page
from tests.support.gateway import running_gateway
from tests.support.studio import Studio, running_studio
from tests.support.waiting import PATIENCE_SECONDS

OpenDashboard = Callable[..., Awaitable[Visit]]
# Each window's invisible address bar would load two pages for its suggestions, and they take as long as the
# dashboard. Of two such lists the last one counts: what follows is in Playwright's own.
FEATURES_OFF = (
    "WebUIOmniboxPopup,WebUIOmniboxAimPopup,WebUIOmniboxFullPopup"
    ",AvoidUnnecessaryBeforeUnloadCheckSync,DestroyProfileOnBrowserClose,HttpsUpgrades"
    ",HttpsFirstBalancedModeAutoEnable,LensOverlay,MediaRouter,NetworkTimeServiceQuerying,OptimizationHints"
    ",PaintHolding,PreconnectToSearch,ThirdPartyStoragePartitioning"
)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    f"--disable-features={FEATURES_OFF}",
]
# The dashboard's tests are about what it shows, not about how patient the gateway is with LM Studio.
LMSTUDIO = {"connect_pause_ms": 20}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None and "CI" not in os.environ:
        pytest.skip("there is no Chromium on this machine (Debian's package: chromium)")
    assert path is not None, "the dashboard's tests need Chromium: apt-get install chromium"
    expect.set_options(timeout=PATIENCE_SECONDS * 1000)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        await browser.close()


def tables_of(folder: Path, api_key: str, studio: Studio, **others: object) -> dict[str, object]:
    """Return a configuration for the dashboard's gateway."""
    return {
        "lmstudio": {"base_url": studio.base_url, **LMSTUDIO},
        "server": {"state_dir": str(folder / "state")},
        "auth": {"api_key": api_key},
        **others,
    }


@pytest_asyncio.fixture(loop_scope="session")
async def open_dashboard(browser: Browser, tmp_path: Path) -> AsyncIterator[OpenDashboard]:
    """Open the dashboard in a fresh profile: `await open_dashboard(api_key="k", color_scheme="dark")`.

    Or another page: `path="/docs"`. `models` are the configuration's profiles, `queue` its table of the line.
    With `second`, LM Studio is the box "first", and there is another one of this name.

    At the test's end no page may have complained or asked another host.
    """
    visits: list[Visit] = []
    async with AsyncExitStack() as stack:

        async def open_(
            *,
            api_key: str = "",
            loaded: bool = False,
            path: str = "/dashboard",
            models: Mapping[str, object] = MappingProxyType({}),
            queue: Mapping[str, object] = MappingProxyType({}),
            second: str = "",
            **options: Any,
        ) -> Visit:
            pace = Stepwise()
            simulator = Simulator(pace=pace)
            if loaded:
                simulator.load("llama-3.2-3b-instruct")
            studio = await stack.enter_async_context(running_studio(simulator))
            tables = tables_of(tmp_path, api_key, studio, models=dict(models), queue=dict(queue))
            if second:
                other = await stack.enter_async_context(running_studio(Simulator()))
                boxes = {"first": studio.base_url, second: other.base_url}
                tables["boxes"] = {name: {"base_url": base_url} for name, base_url in boxes.items()}
                tables["lmstudio"] = LMSTUDIO
            gateway = await stack.enter_async_context(running_gateway(tables))
            stack.callback(pace.finish)
            page = await new_page(browser, **options)
            stack.push_async_callback(page.context.close)
            visit = Visit(page, gateway, studio, pace, api_key)
            visit.listen()
            visits.append(visit)
            await visit.open(path)
            return visit

        yield open_
    for visit in visits:
        visit.check()
