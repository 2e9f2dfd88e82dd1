"""Promises about methods. RFC 9110 section 9, RFC 9112 section 3.2."""

from __future__ import annotations

import asyncio

import pytest

from tests.hostile.conftest import Connect
from tests.hostile.wire import GET, WITHOUT_KEY, ask, request, with_body
from tests.support.upstream import ScriptedUpstream, scripted_upstream

ODD_METHODS = [
    b"get",
    b"Post",
    b"FOO",
    b"PURGE",
    b"QUERY",
    b"M-SEARCH",
    b"PROPFIND",
    b"PRI",
    b"X" * 5000,
    b"G\xc3T",
]


@pytest.mark.parametrize("target", ["{}", "gateway.local:80", "/v1/models", "http://{}/v1/models"])
async def test_connect_never_tunnels(connect: Connect, upstream: ScriptedUpstream, target: str) -> None:
    async with scripted_upstream() as other, connect() as client:
        answered = await client.ask(request(b"CONNECT " + target.format(f"127.0.0.1:{other.port}").encode()))
        assert 400 <= answered.status < 502
        await client.send(request(b"GET /tunnelled", fields=WITHOUT_KEY))
        line = await asyncio.wait_for(client.reader.readline(), 5)
        assert line == b"" or b" 401 " in line
        assert not other.connections
    assert not upstream.received


@pytest.mark.parametrize("path", [b"/v1/models", b"/nowhere", b"*"])
async def test_trace_reflects_no_credentials(
    connect: Connect, upstream: ScriptedUpstream, path: bytes
) -> None:
    answered = await ask(connect, request(b"TRACE " + path, b"Cookie: s3cret", b"Max-Forwards: 0"))
    assert 400 <= answered.status <= 501
    assert answered.status != 405 or answered.one("Allow")  # RFC 9110 section 15.5.6
    assert b"cret" not in answered.body
    assert b"sesame" not in answered.body
    assert not upstream.received


@pytest.mark.parametrize("method", [b"PUT", b"PATCH", b"DELETE", b"OPTIONS"])
async def test_known_methods_pass_unchanged(
    connect: Connect, upstream: ScriptedUpstream, method: bytes
) -> None:
    assert (await ask(connect, with_body(method + b" /v1/files/1", b"body"))).status == 200
    assert (upstream.last.method, upstream.last.body) == (method.decode(), b"body")


async def test_odd_methods_pass_unchanged_or_are_refused(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    for method in ODD_METHODS:
        upstream.received.clear()
        status = (await ask(connect, request(method + b" /v1/models"))).status
        assert status == 200 or 400 <= status < 500 or status == 501, method
        assert [received.method.encode("latin-1") for received in upstream.received] == [method] * (
            status == 200
        )


@pytest.mark.parametrize("method", [b"GET", b"POST"])
async def test_nothing_overrides_the_method(
    connect: Connect, upstream: ScriptedUpstream, method: bytes
) -> None:
    for name in (b"X-HTTP-Method-Override", b"X-HTTP-Method", b"X-Method-Override", b"_method"):
        field = name + b": DELETE"
        answered = await ask(
            connect, with_body(method + b" /v1/models?_method=DELETE", b"_method=DELETE", field)
        )
        assert (answered.status, upstream.last.method) == (200, method.decode())


async def test_options_of_the_server_itself_is_answered(connect: Connect, upstream: ScriptedUpstream) -> None:
    async with connect() as client:
        assert (await client.ask(request(b"OPTIONS *"))).status < 500
        assert (await client.ask(GET)).status == 200
    assert [received.method for received in upstream.received] == ["GET"]
