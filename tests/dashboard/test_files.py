"""The page and its files over plain HTTP."""

from __future__ import annotations

import asyncio
import re

import aiohttp
import pytest

from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.raw_client import raw_client
from tests.support.waiting import PATIENCE_SECONDS

NOWHERE = "http://127.0.0.1:9"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_REFERENCES = re.compile(r'(?:src|href)="([^"#]+)"')


@pytest.fixture
async def gateway(start_gateway: StartGateway) -> Gateway:
    return await start_gateway(NOWHERE, auth={"api_key": "a key"})


async def request(
    gateway: Gateway, path: str, method: str = "GET", **headers: str
) -> tuple[aiohttp.ClientResponse, bytes]:
    url = gateway.url(path)
    async with gateway.client.request(method, url, headers=headers, allow_redirects=False) as response:
        return response, await response.read()


async def test_the_page_and_its_files_need_no_key(gateway: Gateway) -> None:
    """The key is typed into the page."""
    response, page = await request(gateway, "/dashboard")
    assert (response.status, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    urls = set(_REFERENCES.findall(page.decode()))
    assert len(urls) >= 6
    for url in urls:
        assert (await request(gateway, f"/{url}"))[0].status == 200, url


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("main.js", "text/javascript; charset=utf-8"),
        ("base.css", "text/css; charset=utf-8"),
        ("icon.svg", "image/svg+xml; charset=utf-8"),
        ("vendor/uPlot.iife.min.js", "text/javascript; charset=utf-8"),
        ("vendor/uPlot.LICENSE", "text/plain; charset=utf-8"),
    ],
)
async def test_files_say_what_they_are(gateway: Gateway, path: str, content_type: str) -> None:
    """With nosniff, a wrong type is a script that doesn't run."""
    response, _ = await request(gateway, f"/dashboard/static/{path}")
    assert (response.status, response.headers["Content-Type"]) == (200, content_type)


@pytest.mark.parametrize(
    "path", ["/dashboard", "/dashboard/", "/dashboard/access", "/dashboard/static/main.js"]
)
async def test_every_answer_carries_the_policy(gateway: Gateway, path: str) -> None:
    """A page that has the gateway's key runs only its own scripts, and in no frame."""
    response, _ = await request(gateway, path)
    assert response.headers["Content-Security-Policy"] == POLICY
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Cache-Control"] == "no-cache"


async def test_nothing_stands_inline(gateway: Gateway) -> None:
    """The policy would refuse it."""
    _, page = await request(gateway, "/dashboard")
    assert not re.search(r"<style|<script(?![^>]* src=)|\sstyle=|\son\w+=|javascript:", page.decode())


async def test_a_known_file_is_not_sent_again(gateway: Gateway) -> None:
    """Its ETag makes a 304."""
    response, body = await request(gateway, "/dashboard/static/main.js")
    etag = response.headers["ETag"]
    assert body
    for known in (etag, f'"other", W/{etag}', "*"):
        again, nothing = await request(gateway, "/dashboard/static/main.js", **{"If-None-Match": known})
        assert (again.status, again.headers["ETag"], nothing) == (304, etag, b"")
        assert again.headers["Content-Security-Policy"] == POLICY
    changed, whole = await request(gateway, "/dashboard/static/main.js", **{"If-None-Match": '"other"'})
    assert (changed.status, whole) == (200, body)


async def test_head_is_get_without_the_body(gateway: Gateway) -> None:
    """Monitors ask so."""
    response, body = await request(gateway, "/dashboard", "HEAD")
    _, page = await request(gateway, "/dashboard")
    assert (response.status, response.headers["Content-Length"], body) == (200, str(len(page)), b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/dashboard", "/dashboard/static/main.js"])
async def test_only_reading_is_possible(gateway: Gateway, path: str, method: str) -> None:
    """Other methods are 405."""
    response, _ = await request(gateway, path, method)
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "path",
    [
        *("../dashboard.py", "%2e%2e/dashboard.py", "..%2fdashboard.py", "..%5cdashboard.py"),
        *("vendor/../../dashboard.py", "vendor//uPlot.min.css", "/etc/passwd", "%2fetc%2fpasswd"),
        *("main.js%00.css", "vendor", "vendor/", "no-such-file.js"),
    ],
)
async def test_no_path_leaves_the_folder(gateway: Gateway, path: str) -> None:
    """These paths need no key."""
    async with raw_client(gateway.port) as client:
        sent = f"GET /dashboard/static/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        await client.send(sent.encode())
        answer = await asyncio.wait_for(client.rest(), PATIENCE_SECONDS)
    status = int(answer.split(b" ")[1])
    assert status in {400, 401, 404}
    assert b"import" not in answer
    assert b"root:" not in answer


async def test_the_slash_is_taken_away(gateway: Gateway) -> None:
    """The page's references are relative to /dashboard; below another place they would lead nowhere."""
    response, _ = await request(gateway, "/dashboard/")
    assert (response.status, response.headers["Location"]) == (307, "../dashboard")
    async with gateway.client.get(gateway.url("/dashboard/")) as followed:
        assert (followed.status, followed.url.path) == (200, "/dashboard")


@pytest.mark.parametrize("api_key", ["", "a key"])
async def test_the_page_can_learn_whether_to_ask_for_a_key(start_gateway: StartGateway, api_key: str) -> None:
    """/dashboard/access says so."""
    gateway = await start_gateway(NOWHERE, auth={"api_key": api_key})
    response, body = await request(gateway, "/dashboard/access")
    assert (response.status, body) == (200, b'{"keyNeeded":true}' if api_key else b'{"keyNeeded":false}')
