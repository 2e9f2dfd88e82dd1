"""The first key: who may make it, and what it must be able to do."""

from __future__ import annotations

import asyncio

import pytest

from tests.conftest import StartGateway
from tests.support.gateway import Gateway, running_gateway
from tests.support.keys import OWNER, call, make_key
from tests.support.raw_client import raw_client
from tests.support.requests import json_post
from tests.support.upstream import ScriptedUpstream

OPEN = {"network": {"ip_allowlist": ["*"]}}
ADMIN = {"name": "boss", "scopes": ["admin"]}
SIGNS = [
    b"X-Forwarded-For: 127.0.0.1",
    b"x-forwarded-for: 10.0.0.1",
    b"X-Forwarded-For:",
    b"Forwarded: for=127.0.0.1",
    b"X-Real-IP: 127.0.0.1",
    b"X-Forwarded-Host: localhost",
    b"X-Forwarded-Proto: https",
    b"Via: 1.1 proxy",
    b"CF-Connecting-IP: 127.0.0.1",
]


@pytest.fixture
async def gateway(start_gateway: StartGateway, upstream: ScriptedUpstream) -> Gateway:
    """Everybody is let in, and is `anyone`."""
    return await start_gateway(upstream.base_url, **OPEN)


async def make_raw(gateway: Gateway, *lines: bytes, host: bytes = b"Host: localhost\r\n") -> int:
    async with raw_client(gateway.port) as client:
        sent = json_post(b"/admin/keys", b'{"name": "boss", "scopes": ["admin"]}', *lines, fields=host)
        return (await client.ask(sent)).status


@pytest.mark.parametrize("tables", [{}, OPEN], ids=["protected mode", "allowlist"])
async def test_it_is_made_on_the_gateways_machine(
    start_gateway: StartGateway, upstream: ScriptedUpstream, tables: dict[str, dict[str, object]]
) -> None:
    """From then on a key is needed, everywhere but where none ever is."""
    gateway = await start_gateway(upstream.base_url, **tables)
    assert (await call(gateway, "GET", "/v1/models", key=None)).status == 200
    key = await make_key(gateway, "boss", by=None, scopes=["admin"])
    for path in ("/v1/models", "/admin/keys", "/debug/status", "/nowhere"):
        assert (await call(gateway, "GET", path, key=None)).status == 401
    for path in ("/", "/health", "/dashboard", "/openapi.json"):
        assert (await call(gateway, "GET", path, key=None)).status == 200
    for path in ("/v1/models", "/admin/keys", "/debug/status"):
        assert (await call(gateway, "GET", path, key=key)).status == 200
    assert await make_key(gateway, "anna", by=key)


@pytest.mark.parametrize("sign", SIGNS)
async def test_not_through_a_proxy(gateway: Gateway, sign: bytes) -> None:
    """Behind one on this machine, every guest seems to be on this machine."""
    assert await make_raw(gateway, sign) == 403
    assert (await call(gateway, "GET", "/admin/keys", key=None)).body == {"keys": []}


async def test_not_from_behind_a_trusted_proxy(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Not even if it says that its client is on this machine."""
    network = {"ip_allowlist": ["*"], "trusted_proxies": ["127.0.0.1"]}
    gateway = await start_gateway(upstream.base_url, network=network)
    for address in (b"192.168.1.5", b"127.0.0.1"):
        assert await make_raw(gateway, b"X-Forwarded-For: " + address) == 403


async def test_not_from_another_machine(
    upstream: ScriptedUpstream, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guest would take the gateway over; the refusal says how to do it."""
    tables = {"lmstudio": {"base_url": upstream.base_url}, "server": {"state_dir": str(tmp_path)}, **OPEN}
    async with running_gateway(tables) as gateway:
        # Nothing here is on another machine, so the test says that this client is.
        monkeypatch.setattr("aiohttp.web.BaseRequest.remote", "192.168.1.5")
        reply = await call(gateway, "POST", "/admin/keys", ADMIN, key=None)
        assert reply.status == 403
        assert "lmgateway keys add" in str(reply.body)
        assert (await call(gateway, "GET", "/admin/keys", key=None)).body == {"keys": []}


async def test_not_by_a_page(gateway: Gateway) -> None:
    """Neither one of another origin nor one that points its own name here."""
    for lines, host, status in [
        ((b"Origin: https://evil.example",), b"Host: localhost\r\n", 403),
        ((b"Sec-Fetch-Site: cross-site",), b"Host: localhost\r\n", 403),
        ((b"Origin: null",), b"Host: localhost\r\n", 403),
        ((b"Origin: http://evil.example",), b"Host: evil.example\r\n", 421),
        ((), b"Host: evil.example\r\n", 421),
    ]:
        assert await make_raw(gateway, *lines, host=host) == status, lines
    url, form = gateway.url("/admin/keys"), {"Content-Type": "text/plain"}
    async with gateway.client.post(url, data='{"name": "a", "scopes": ["admin"]}', headers=form) as response:
        assert response.status == 415


async def test_by_the_owner_from_anywhere(
    start_gateway: StartGateway, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It needs no scope, since the owner can make another."""
    gateway = await start_gateway(upstream.base_url, auth={"api_key": OWNER})
    monkeypatch.setattr("aiohttp.web.BaseRequest.remote", "192.168.1.5")
    reply = await call(gateway, "POST", "/admin/keys", {"name": "anna"}, via="1.1 proxy")
    assert reply.status == 201
    assert (await call(gateway, "POST", "/admin/keys", {"name": "b"}, key=None)).status == 401


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "scope admin"),
        ({"scopes": ["inference", "models", "observe"]}, "scope admin"),
        ({"scopes": ["admin"], "expiresAt": "2999-01-01"}, "can't expire"),
    ],
)
async def test_a_first_key_that_locks_everybody_out_is_409(
    gateway: Gateway, settings: dict[str, object], sentence: str
) -> None:
    """And says what to do; the gateway stays as it is."""
    reply = await call(gateway, "POST", "/admin/keys", {"name": "a", **settings}, key=None)
    assert (reply.status, sentence in reply.body["error"]) == (409, True)
    assert "auth.api_key" in reply.body["error"]
    assert (await call(gateway, "GET", "/v1/models", key=None)).status == 200


async def test_of_two_guests_one_makes_it(gateway: Gateway) -> None:
    """The other one needs a key by then."""

    async def first(name: str) -> int:
        body = {"name": name, "scopes": ["admin"]}
        return (await call(gateway, "POST", "/admin/keys", body, key=None)).status

    assert sorted(await asyncio.gather(*map(first, ("a", "b", "c")))) == [201, 401, 401]


async def test_the_last_admin_key_stays(gateway: Gateway) -> None:
    """It can't be revoked, lose the scope or get an expiry, until there is another one."""
    key = await make_key(gateway, "boss", by=None, scopes=["admin"])
    await make_key(gateway, "anna", by=key)
    refused = [
        ("DELETE", "/admin/keys/boss", None),
        ("PATCH", "/admin/keys/boss", {"scopes": ["inference"]}),
        ("PATCH", "/admin/keys/boss", {"scopes": None}),
        ("PATCH", "/admin/keys/boss", {"expiresAt": "2999-01-01"}),
    ]
    for method, path, body in refused:
        reply = await call(gateway, method, path, body, key=key)
        assert (reply.status, "boss is the last key with the scope admin" in reply.body["error"]) == (
            409,
            True,
        )
    assert (await call(gateway, "DELETE", "/admin/keys/anna", key=key)).status == 200
    other = await make_key(gateway, "other", by=key, scopes=["admin"])
    assert (await call(gateway, "DELETE", "/admin/keys/boss", key=other)).status == 200
    assert (await call(gateway, "DELETE", "/admin/keys/other", key=other)).status == 409


async def test_with_an_owner_every_key_can_go(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """And the gateway is the owner's alone again."""
    gateway = await start_gateway(upstream.base_url, auth={"api_key": OWNER})
    await make_key(gateway, "boss", scopes=["admin"])
    assert (await call(gateway, "PATCH", "/admin/keys/boss", {"scopes": None})).status == 200
    assert (await call(gateway, "DELETE", "/admin/keys/boss")).status == 200
    assert (await call(gateway, "GET", "/v1/models", key=None)).status == 401


async def test_keys_of_the_database_close_the_gateway_without_an_owner(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Who starts it again without auth.api_key gets no open gateway; a key without admin is enough."""
    with_owner = await start_gateway(upstream.base_url, auth={"api_key": OWNER})
    key = await make_key(with_owner, "anna")
    gateway = await start_gateway(upstream.base_url, **OPEN)
    assert (await call(gateway, "GET", "/v1/models", key=None)).status == 401
    assert (await call(gateway, "POST", "/admin/keys", ADMIN, key=None)).status == 401
    assert (await call(gateway, "GET", "/v1/models", key=OWNER)).status == 401
    assert (await call(gateway, "GET", "/v1/models", key=key, host="any.name.example")).status == 200
    recovered = await start_gateway(upstream.base_url, auth={"api_key": "new"})
    assert (await call(recovered, "DELETE", "/admin/keys/anna", key="new")).status == 200
