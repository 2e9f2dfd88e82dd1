"""Whom the gateway sees behind nginx and Caddy, as docs/reverse-proxies.md sets them up."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from playwright.async_api import async_playwright, expect

from tests.dashboard.conftest import ARGUMENTS
from tests.support.waiting import PATIENCE_SECONDS

from .proxies import CLIENT, ENOUGH, KEY, MODEL, NAME, Behind, behind

FORGED = "203.0.113.9"


async def test_the_client_s_address_is_believed_of_the_proxy_alone(setup: Behind) -> None:
    """Neither the proxy's client nor one that gets around it can choose an address."""
    setup.pace.give(ENOUGH)
    setup.client.headers.update({"X-Forwarded-For": FORGED})
    assert await setup.status_of(max_tokens=1) == 200
    assert await setup.seen_as() == CLIENT
    # Past the proxy, from an address that isn't a trusted one.
    async with setup.client.get(
        setup.gateway.url("/v1/models"), headers={"X-API-Key": KEY, "X-Forwarded-For": FORGED}
    ) as response:
        assert response.status == 200
    assert await setup.seen_as() == CLIENT


async def test_the_dashboard_works(setup: Behind) -> None:
    """A browser signs in over https, and its changes aren't those of a foreign page."""
    mapped = f"--host-resolver-rules=MAP {NAME} 127.0.0.1"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=_chromium(), args=[*ARGUMENTS, mapped], env={"HOME": str(setup.authority.parent)}
        )
        page = await (await browser.new_context(ignore_https_errors=True)).new_page()
        page.set_default_timeout(PATIENCE_SECONDS * 1000)
        await page.goto(setup.url("/dashboard"))
        await page.get_by_label("Key", exact=True).fill(KEY)
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("Live", exact=True)).to_be_visible()
        status = await page.evaluate(
            """([key, model]) => fetch("/admin/models/activate", {
                method: "POST",
                headers: {"Content-Type": "application/json", "X-API-Key": key},
                body: JSON.stringify({modelKey: model}),
            }).then((response) => response.status)""",
            [KEY, MODEL],
        )
        await browser.close()
    assert status == 200


def _chromium() -> str:
    path = shutil.which("chromium")
    if path is None and "CI" not in os.environ:
        pytest.skip("there is no Chromium on this machine (Debian's package: chromium)")
    assert path is not None, "apt-get install chromium"
    return path


async def test_a_browser_without_fetch_metadata_is_served_too(setup: Behind) -> None:
    """Its Origin is the proxy's, which the gateway compares with Host."""
    own = {"X-API-Key": KEY, "Origin": f"https://{NAME}:{setup.port}"}
    foreign = {**own, "Origin": "https://elsewhere.example"}
    body = {"modelKey": MODEL}
    statuses = []
    for headers in (own, foreign):
        async with setup.client.post(
            setup.url("/admin/models/activate"), json=body, headers=headers
        ) as response:
            statuses.append(response.status)
    assert statuses == [200, 403]


@pytest.mark.parametrize(("names", "status"), [([NAME], 200), ([], 421)])
async def test_without_a_key_the_name_must_be_listed(
    proxy: str, tmp_path: Path, names: list[str], status: int
) -> None:
    tables: dict[str, dict[str, object]] = {
        "auth": {"api_key": ""},
        "network": {"ip_allowlist": [CLIENT]},
        "server": {"names": names},
    }
    async with (
        behind(proxy, tmp_path, **tables) as setup,
        setup.client.get(setup.url("/v1/models")) as response,
    ):
        assert response.status == status


async def test_without_a_key_and_an_allowlist_nobody_is_served(proxy: str, tmp_path: Path) -> None:
    async with (
        behind(proxy, tmp_path, auth={"api_key": ""}) as setup,
        setup.client.get(setup.url("/v1/models")) as response,
    ):
        # To a client on another machine it is a 403.
        assert response.status == 421
        assert "auth.api_key" in await response.text()
