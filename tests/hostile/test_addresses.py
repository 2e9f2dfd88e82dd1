"""Promises about addresses. RFC 7239 section 8, RFC 4291 section 2.5.5.2."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import StartGateway
from tests.hostile.conftest import KEY, Connect
from tests.hostile.wire import GET, WITHOUT_KEY, ask, json_post, reached, request
from tests.support.gateway import running_gateway
from tests.support.raw_client import raw_client
from tests.support.upstream import ScriptedUpstream

STRANGER = "127.0.0.2"
SAYS_WHO_ASKS = [
    b"X-Forwarded-For: 127.0.0.1",
    b"X-Forwarded-For: 127.0.0.1, 127.0.0.1",
    b"X-Forwarded-For: ::1",
    b"x-forwarded-for: 127.0.0.1\r\nX-Forwarded-For: 127.0.0.1",
    b"X-Real-IP: 127.0.0.1",
    b"Forwarded: for=127.0.0.1",
    b'Forwarded: for="[::1]";host=localhost;proto=https',
    b"X-Client-IP: 127.0.0.1",
    b"X-Cluster-Client-IP: 127.0.0.1",
    b"X-Originating-IP: 127.0.0.1",
    b"X-Remote-Addr: 127.0.0.1",
    b"Client-IP: 127.0.0.1",
    b"True-Client-IP: 127.0.0.1",
    b"CF-Connecting-IP: 127.0.0.1",
    b"Via: 1.1 localhost",
]
# A client's claims about its address aren't forwarded.
PASSED_ON = {
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "6",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-Proto": "gopher",
    "X-Forwarded-Server": "evil.example",
    "Forwarded": "for=203.0.113.7;host=evil.example;proto=gopher",
    "X-Real-IP": "203.0.113.7",
}


async def test_from_an_address_off_the_allowlist_no_forwarding_header_gives_access(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    for line in SAYS_WHO_ASKS:
        for path in (b"/v1/models", b"/admin/models/active", b"/health"):
            assert (await ask(connect, request(b"GET " + path, line), source=STRANGER)).status == 403, line
    assert await reached(connect, upstream) == []


async def test_only_from_trusted_proxies_is_x_forwarded_for_believed(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """From another peer the header is ignored; from a proxy, the client's address is checked."""
    network = {"ip_allowlist": ["10.0.0.1"], "trusted_proxies": ["127.0.0.1"]}
    gateway = await start_gateway(upstream.base_url, auth={"api_key": KEY}, network=network)
    for source, told, status in [
        (STRANGER, b"10.0.0.1", 403),
        ("127.0.0.1", b"10.0.0.1", 200),
        ("127.0.0.1", b"10.0.0.1, 10.0.0.2", 403),
        ("127.0.0.1", b"10.0.0.2, 10.0.0.1", 200),
        ("127.0.0.1", b"10.0.0.1, rubbish", 403),
        ("127.0.0.1", b"10.0.0.1\r\nX-Forwarded-For: 10.0.0.2", 403),
    ]:
        async with raw_client(gateway.port, source=source) as client:
            assert (
                await client.ask(request(b"GET /v1/models", b"X-Forwarded-For: " + told))
            ).status == status, (source, told)


async def test_forbidden_address_gets_the_same_answer_with_and_without_key(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    """It reveals neither whether a key is valid nor whether a path exists."""
    for path in (b"/v1/models", b"/admin/models/active", b"/debug/status", b"/health", b"/", b"/nowhere"):
        seen = set()
        for fields in (
            WITHOUT_KEY,
            WITHOUT_KEY + b"X-API-Key: wrong\r\n",
            WITHOUT_KEY + b"X-API-Key: %s\r\n" % KEY.encode(),
            WITHOUT_KEY + b"Authorization: Bearer %s\r\n" % KEY.encode(),
        ):
            answer = await ask(connect, request(b"GET " + path, fields=fields), source=STRANGER)
            told = [pair for pair in answer.headers if pair[0] not in {"Date", "X-Request-Id"}]
            seen.add((answer.status, str(told), answer.body))
        assert [status for status, _, _ in seen] == [403], path
    preflight = (b"Origin: https://page.example", b"Access-Control-Request-Method: POST")
    for sent in (request(b"OPTIONS /v1/models", *preflight), json_post(b"/v1/chat/completions", b"{}")):
        assert (await ask(connect, sent, source=STRANGER)).status == 403
    assert await reached(connect, upstream) == []


async def test_on_a_dual_stack_socket_an_ipv4_client_is_matched_by_its_ipv4_rule(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    for rule in ("127.0.0.1", "127.0.0.1/32", "::ffff:127.0.0.1"):
        tables: dict[str, object] = {
            "lmstudio": {"base_url": upstream.base_url},
            "server": {"state_dir": str(tmp_path)},
            "auth": {"api_key": KEY},
            "network": {"ip_allowlist": [rule]},
        }
        async with running_gateway(tables, host="::") as gateway:
            for host, source, status in [
                ("127.0.0.1", "127.0.0.1", 200),
                ("127.0.0.1", STRANGER, 403),
                ("::1", "::1", 403),
            ]:
                async with raw_client(gateway.port, host=host, source=source) as client:
                    assert (await client.ask(GET)).status == status, (rule, source)


async def test_forwarding_headers_of_clients_are_not_passed_on(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    """Each is dropped, or replaced by or extended with the true address."""
    lines = [
        f"{spelt}: {value}".encode() for name, value in PASSED_ON.items() for spelt in (name, name.lower())
    ]
    for sent in (request(b"GET /v1/models", *lines), json_post(b"/v1/chat/completions", b"{}", *lines)):
        assert (await ask(connect, sent)).status == 200
        for name, value in PASSED_ON.items():
            for passed in upstream.last.all(name):
                *_, truth = passed.split(",")
                assert truth.strip() != value, name
                assert "127.0.0.1" in truth, name
