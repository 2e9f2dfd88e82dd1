"""Callers that send no key, and are recognised by their address."""

from __future__ import annotations

import pytest

from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.keys import OWNER, call, change_key, make_key
from tests.support.raw_client import Answer, raw_client
from tests.support.requests import json_post, request
from tests.support.upstream import ScriptedUpstream

TABLET, ELSEWHERE = "127.0.0.7", "127.0.0.8"
GATEWAY = b"Host: gateway.local\r\n"


@pytest.fixture
async def gateway(start_gateway: StartGateway, upstream: ScriptedUpstream) -> Gateway:
    """The tablet's key has its address."""
    gateway = await start_gateway(upstream.base_url, auth={"api_key": OWNER})
    await make_key(gateway, "tablet", scopes=["inference", "observe"], addresses=[TABLET])
    return gateway


async def ask(gateway: Gateway, sent: bytes, *, source: str = TABLET) -> Answer:
    async with raw_client(gateway.port, source=source) as client:
        return await client.ask(sent)


def get(path: bytes, *lines: bytes, host: bytes = GATEWAY) -> bytes:
    return request(b"GET " + path, *lines, fields=host)


async def test_it_has_its_keys_rights(gateway: Gateway) -> None:
    """And no others; elsewhere a key is needed."""
    for path, status in ((b"/v1/models", 200), (b"/debug/status", 200), (b"/admin/keys", 403)):
        assert (await ask(gateway, get(path))).status == status
        assert (await ask(gateway, get(path), source=ELSEWHERE)).status == 401


async def test_its_name_is_in_the_log(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    await ask(gateway, get(b"/v1/models"))
    line = next(text for text in caplog.messages if "GET /v1/models" in text)
    assert line.split()[:2] == [TABLET, "tablet"]
    assert (await call(gateway, "GET", "/admin/keys/tablet")).body["recentAddresses"] == 1


# What isn't a key counts as none: apps send such where their user entered nothing.
SENT = [
    (b"Authorization: Bearer wrong", 401),
    (b"Authorization: Bearer sk-lm-ABCDEFGH:abcdefghij0123456789", 401),
    (b"X-API-Key: wrong", 401),
    (b"X-API-Key: lm-studio", 401),
    (b"Authorization: Bearer ", 200),
    (b"Authorization: Bearer", 200),
    (b"Authorization:", 200),
    (b"X-API-Key:", 200),
    (b"Authorization: Basic dXNlcjpwYXNz", 200),
    (b"Authorization: Bearer %s" % OWNER.encode(), 200),
]


async def test_a_wrong_key_is_401_there_too(gateway: Gateway) -> None:
    for line, status in SENT:
        assert (await ask(gateway, get(b"/v1/models", line))).status == status, line


async def test_an_empty_key_is_no_key_elsewhere(gateway: Gateway) -> None:
    """It opens nothing."""
    for line in (b"Authorization: Bearer ", b"X-API-Key:"):
        assert (await ask(gateway, get(b"/v1/models", line), source=ELSEWHERE)).status == 401


async def test_a_changed_address_is_in_force_at_once(gateway: Gateway) -> None:
    await change_key(gateway, "tablet", addresses=["127.0.0.8/32"])
    assert (await ask(gateway, get(b"/v1/models"))).status == 401
    assert (await ask(gateway, get(b"/v1/models"), source=ELSEWHERE)).status == 200
    await change_key(gateway, "tablet", addresses=None)
    assert (await ask(gateway, get(b"/v1/models"), source=ELSEWHERE)).status == 401


async def test_the_narrower_network_counts(gateway: Gateway) -> None:
    """Of two keys whose addresses fit."""
    await make_key(gateway, "everybody", scopes=["models"], addresses=["127.0.0.0/8"])
    assert (await ask(gateway, get(b"/v1/models"))).status == 200
    assert (await ask(gateway, get(b"/v1/models"), source=ELSEWHERE)).status == 403
    await call(gateway, "DELETE", "/admin/keys/tablet")
    assert (await ask(gateway, get(b"/v1/models"))).status == 403


async def test_the_same_network_twice_is_409(gateway: Gateway) -> None:
    """However it is written, in a new key and in a changed one; nothing is changed."""
    await make_key(gateway, "other")
    before = (await call(gateway, "GET", "/admin/keys")).body
    for address in (TABLET, f"{TABLET}/32", f"::ffff:{TABLET}"):
        body = {"addresses": [address]}
        for reply in (
            await call(gateway, "POST", "/admin/keys", {"name": "new", **body}),
            await call(gateway, "PATCH", "/admin/keys/other", body),
        ):
            assert (reply.status, "The key tablet has the address" in reply.body["error"]) == (409, True)
    assert (await call(gateway, "GET", "/admin/keys")).body == before


HOSTS = [
    (b"localhost", 200),
    (b"gateway", 200),
    (b"gateway.local", 200),
    (b"nas.home.arpa:8002", 200),
    (b"box.internal", 200),
    (b"192.168.1.2:8002", 200),
    (b"[::1]:8002", 200),
    (b"listed.example", 200),
    (b"evil.example", 421),
    (b"gateway.local.evil.example", 421),
]


async def test_the_host_must_be_the_gateways(start_gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """A page that points its own name here would use its visitor's address. With a key any Host is served."""
    gateway = await start_gateway(
        upstream.base_url, auth={"api_key": OWNER}, server={"names": ["listed.example"]}
    )
    await make_key(gateway, "tablet", scopes=["inference"], addresses=[TABLET])
    for host, status in HOSTS:
        field = b"Host: %s\r\n" % host
        answer = await ask(gateway, get(b"/v1/models", host=field))
        assert answer.status == status, host
        # Not even the name of the caller, which a refused scope has.
        answer = await ask(gateway, get(b"/admin/keys", host=field))
        assert (answer.status, b"tablet" in answer.body) == ((403, True) if status == 200 else (421, False))
        with_key = get(b"/v1/models", b"X-API-Key: " + OWNER.encode(), host=field)
        assert (await ask(gateway, with_key)).status == 200
        # A wrong key is refused before its Host is looked at.
        wrong = get(b"/v1/models", b"X-API-Key: wrong", host=field)
        assert (await ask(gateway, wrong)).status == 401


PAGES = [
    ((b"Origin: http://gateway.local",), 200),
    ((b"Origin: http://gateway.local", b"Sec-Fetch-Site: same-origin"), 200),
    ((b"Sec-Fetch-Site: none",), 200),
    ((b"Origin: https://listed.example", b"Sec-Fetch-Site: cross-site"), 200),
    ((b"Origin: https://evil.example",), 403),
    ((b"Origin: https://evil.example", b"Sec-Fetch-Site: same-origin"), 403),
    ((b"Origin: null",), 403),
    ((b"Sec-Fetch-Site: cross-site",), 403),
]


async def test_no_page_uses_its_visitors_address(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Unless its origin is listed; one that sends a key may."""
    gateway = await start_gateway(
        upstream.base_url, auth={"api_key": OWNER}, cors={"origins": ["https://listed.example"]}
    )
    key = await make_key(gateway, "tablet", addresses=[TABLET])
    for lines, status in PAGES:
        assert (await ask(gateway, get(b"/v1/models", *lines))).status == status, lines
        posted = json_post(b"/v1/chat/completions", b"{}", *lines, fields=GATEWAY)
        assert (await ask(gateway, posted)).status == status, lines
        with_key = get(b"/v1/models", *lines, b"X-API-Key: " + key.encode())
        assert (await ask(gateway, with_key)).status == 200, lines


async def test_a_page_of_any_origin_with_the_default_is_refused_without_a_key(gateway: Gateway) -> None:
    """Though the proxied paths are open to every page that sends one."""
    page = (b"Origin: https://page.example", b"Sec-Fetch-Site: cross-site")
    answer = await ask(gateway, get(b"/v1/models", *page))
    assert (answer.status, b"page_refused" in answer.body) == (403, True)
    with_key = get(b"/v1/models", *page, b"Authorization: Bearer " + OWNER.encode())
    answer = await ask(gateway, with_key)
    assert (answer.status, answer.one("Access-Control-Allow-Origin")) == (200, "*")


@pytest.mark.parametrize(
    ("trusted", "forwarded", "status"),
    [
        ([], b"", 401),
        ([], TABLET.encode(), 401),
        (["127.0.0.1"], TABLET.encode(), 200),
        (["127.0.0.1"], b"10.0.0.9, " + TABLET.encode(), 200),
        (["127.0.0.1"], TABLET.encode() + b", 10.0.0.9", 401),
        (["127.0.0.1"], b"10.0.0.9", 401),
        (["127.0.0.1"], b"unknown", 403),
        (["127.0.0.1"], b"", 401),
        (["10.0.0.0/8"], TABLET.encode(), 401),
    ],
)
async def test_whose_forwarded_address_counts(
    start_gateway: StartGateway, upstream: ScriptedUpstream, trusted: list[str], forwarded: bytes, status: int
) -> None:
    """Only that of a trusted proxy, read from the right: anybody can send the header."""
    network = {"trusted_proxies": trusted}
    gateway = await start_gateway(upstream.base_url, auth={"api_key": OWNER}, network=network)
    await make_key(gateway, "tablet", addresses=[TABLET])
    lines = (b"X-Forwarded-For: " + forwarded,) if forwarded else ()
    assert (await ask(gateway, get(b"/v1/models", *lines), source="127.0.0.1")).status == status


async def test_a_mapped_address_is_the_ipv4_address(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """As a proxy or a dual-stack socket writes it."""
    network = {"trusted_proxies": ["127.0.0.1"]}
    gateway = await start_gateway(upstream.base_url, auth={"api_key": OWNER}, network=network)
    await make_key(gateway, "tablet", addresses=["::ffff:10.1.0.0/112", "2001:db8::/64"])
    for address, status in [
        (b"10.1.2.3", 200),
        (b"::ffff:10.1.2.3", 200),
        (b"[::ffff:10.1.2.3]:99", 200),
        (b"10.2.0.1", 401),
        (b"2001:db8::9", 200),
        (b"2001:db8:1::9", 401),
    ]:
        sent = get(b"/v1/models", b"X-Forwarded-For: " + address)
        assert (await ask(gateway, sent, source="127.0.0.1")).status == status, address


async def test_the_allowlist_comes_first(start_gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """A key's address isn't let in by it."""
    network = {"ip_allowlist": ["127.0.0.1"]}
    gateway = await start_gateway(upstream.base_url, auth={"api_key": OWNER}, network=network)
    await make_key(gateway, "tablet", addresses=[TABLET])
    assert (await ask(gateway, get(b"/v1/models"))).status == 403


async def test_the_key_of_an_expired_address_is_needed(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    await change_key(gateway, "tablet", expiresAt="2999-01-01")
    assert (await ask(gateway, get(b"/v1/models"))).status == 200
    monkeypatch.setattr("lmgateway.access.callers.unix_time", lambda: 33_000_000_000.0)  # in 3015
    assert (await ask(gateway, get(b"/v1/models"))).status == 401
