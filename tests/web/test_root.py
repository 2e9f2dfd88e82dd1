"""GET /: browsers are led to the dashboard, everybody else gets JSON."""

from __future__ import annotations

import pytest

from lmgateway.web.accepting import quality
from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.raw_client import raw_client

NOWHERE = "http://127.0.0.1:9"
# As sent by the browsers' current versions for a page that a user opens.
CHROMIUM = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7"
)
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.fixture
async def gateway(start_gateway: StartGateway) -> Gateway:
    return await start_gateway(NOWHERE, auth={"api_key": "a key"})


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "accept",
    [CHROMIUM, FIREFOX, "text/html", "TEXT/HTML;level=1, */*;q=0.1", "text/*, application/json;q=0.9"],
)
async def test_a_browser_is_led_to_the_dashboard(gateway: Gateway, method: str, accept: str) -> None:
    """The redirect is relative: behind a proxy the dashboard may be at /lm/dashboard."""
    async with gateway.client.request(
        method, gateway.url("/"), headers={"Accept": accept}, allow_redirects=False
    ) as response:
        assert (response.status, response.headers["Location"]) == (307, "dashboard")
        assert response.headers["Vary"] == "Accept"
        assert await response.read() == b""


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "accept",
    [
        None,
        "",
        "*/*",
        "application/json",
        "application/json, text/html",
        "text/html;q=0, */*",
        "text/html;q=0.5, application/json;q=0.6",
        "application/json, text/html;q=2",
        ",;,q=,;q=1",
    ],
)
async def test_everybody_else_gets_the_servers_name(
    gateway: Gateway, method: str, accept: str | None
) -> None:
    """Claude Code asks HEAD / first, curl and libraries send */*. Without the field, anything is accepted."""
    field = "" if accept is None else f"Accept: {accept}\r\n"
    async with raw_client(gateway.port) as client:
        await client.send(
            f"{method} / HTTP/1.1\r\nHost: localhost\r\n{field}Connection: close\r\n\r\n".encode()
        )
        head, _, body = (await client.rest()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nVary: Accept" in head
    named = b'{"name":"lmgateway","dashboard":"/dashboard","docs":"/docs"}'
    assert body == (b"" if method == "HEAD" else named)


async def test_the_redirect_arrives_at_the_page(gateway: Gateway) -> None:
    """Without a key, which the page asks for."""
    async with gateway.client.get(gateway.url("/"), headers={"Accept": FIREFOX}) as response:
        assert (response.status, response.url.path, response.content_type) == (200, "/dashboard", "text/html")


@pytest.mark.parametrize(
    ("media_type", "expected"),
    [("text/html", 1), ("text/plain", 0.3), ("image/jpeg", 0.5)],
)
def test_the_most_specific_range_counts(media_type: str, expected: float) -> None:
    """Mostly the example of RFC 9110 section 12.5.1; parameters other than q aren't told apart."""
    accept = ["text/*;q=0.3, text/html;q=0.7, text/html;level=1,", "text/html;level=2;q=0.4, */*;q=0.5"]
    assert quality(media_type, accept) == expected
