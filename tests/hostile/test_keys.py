"""Promises about keys. RFC 9110 section 11."""

from __future__ import annotations

import base64

from tests.conftest import StartGateway
from tests.hostile.conftest import KEY, MODEL, Connect
from tests.hostile.wire import BODY_PATHS, WITHOUT_KEY, ask, json_post, reached, request
from tests.support.raw_client import raw_client
from tests.support.requests import sized
from tests.support.upstream import ScriptedUpstream

K = KEY.encode()
NO_KEYS = [
    b"wrong",
    K[:-1],
    K[1:],
    K + b"x",
    b"x" + K,
    b"",
    K.upper(),
    K.title(),
    K + b"," + K,
    K + b", wrong",
    b"Bearer " + K,
    b'"%s"' % K,
    K.replace(b"e", b"%65"),
    K + b"\xc2\xa0",
    b"\xff\xfe",
    K * 100,
]
# All of them in Authorization.
AUTHORIZATIONS = [
    b"Bearer wrong",
    b"Bearer " + K[:-1],
    b"Bearer " + K.upper(),
    b"Bearer %s %s" % (K, K),
    b"Bearer %s,Bearer %s" % (K, K),
    b"Bearer\t" + K,
    b"Bearer" + K,
    b'Bearer "%s"' % K,
    b"Bearer",
    b"Bearer ",
    b"",
    K,
    b"Token " + K,
    b"Basic " + K,
    b"Basic " + base64.b64encode(b"user:" + K),
    b"Basic " + base64.b64encode(K + b":"),
    b"Basic !!!",
    b"Bearer \xff\xfe",
    b"\xff",
    b"Digest username=" + K,
]


async def test_without_key_is_401_and_reaches_nothing(connect: Connect, upstream: ScriptedUpstream) -> None:
    for path in (
        b"/v1/models",
        b"/v1/messages",
        b"/admin/models",
        b"/debug/stream",
        b"/metrics",
        b"/nowhere",
    ):
        for sent in (request(b"GET " + path, fields=WITHOUT_KEY), json_post(path, b"{}", fields=WITHOUT_KEY)):
            assert (await ask(connect, sent)).status == 401, sent
    assert await reached(connect, upstream) == []


async def test_wrong_truncated_extended_empty_and_case_changed_keys_are_401(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    for key in NO_KEYS:
        sent = request(b"GET /v1/models", b"X-API-Key: " + key, fields=WITHOUT_KEY)
        assert (await ask(connect, sent)).status == 401, key
    assert await reached(connect, upstream) == []


async def test_authorization_bearer_key_is_accepted(connect: Connect, upstream: ScriptedUpstream) -> None:
    sent = request(b"GET /v1/models", b"Authorization: Bearer " + K, fields=WITHOUT_KEY)
    assert (await ask(connect, sent)).status == 200
    assert len(upstream.received) == 1


async def test_scheme_name_has_no_case(connect: Connect) -> None:
    for scheme in (b"bearer", b"BEARER", b"bEaReR"):
        sent = request(b"GET /v1/models", b"Authorization: %s %s" % (scheme, K), fields=WITHOUT_KEY)
        assert (await ask(connect, sent)).status == 200, scheme


async def test_wrong_bearer_basic_and_schemeless_values_are_401_not_500(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    for value in AUTHORIZATIONS:
        sent = request(b"GET /v1/models", b"Authorization: " + value, fields=WITHOUT_KEY)
        assert (await ask(connect, sent)).status == 401, value
    assert await reached(connect, upstream) == []


async def test_two_different_key_headers_are_refused_whatever_their_order(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    by_key, by_bearer = b"X-API-Key: " + K, b"Authorization: Bearer " + K
    for right, wrong in [
        (by_key, b"X-API-Key: wrong"),
        (by_key, b"x-api-key:"),
        (by_bearer, b"authorization: Bearer wrong"),
        (by_bearer, b"Authorization: Basic dTpw"),
        (by_bearer, b"X-API-Key: wrong"),
    ]:
        for lines in [(right, wrong), (wrong, right), (right, wrong, right)]:
            sent = request(b"GET /v1/models", *lines, fields=WITHOUT_KEY)
            assert (await ask(connect, sent)).status == 401, lines
    assert await reached(connect, upstream) == []


async def test_401_carries_www_authenticate(connect: Connect) -> None:
    twice = b"X-API-Key: a\r\nX-API-Key: b"
    for path in (b"/v1/models", b"/v1/messages", b"/admin/models", b"/nowhere"):
        for line in [b"X-A: no key", b"X-API-Key: wrong", b"Authorization: Basic dTpw", twice]:
            answer = await ask(connect, request(b"GET " + path, line, fields=WITHOUT_KEY))
            assert (answer.status, answer.one("WWW-Authenticate")) == (401, "Bearer"), (path, line)


async def test_unauthenticated_upload_of_1_gib_is_refused_before_its_body_and_cut_off(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    gateway = await start_gateway(upstream.base_url, {"linger_seconds": 0.05}, auth={"api_key": KEY})
    for path in BODY_PATHS:
        async with raw_client(gateway.port) as client:
            head = request(b"POST " + path, b"Content-Length: %d" % 1024**3, fields=WITHOUT_KEY)
            answer = await client.ask(head)
            assert (answer.status, answer.one("Connection")) == (401, "close"), path
            assert await client.rest() == b""
    assert not upstream.received


async def test_unauthenticated_chunked_upload_is_not_taken_for_a_request(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    """The bytes after a refusal are its body, even if they look like a request."""
    smuggled = request(b"GET /v1/smuggled")
    async with connect() as client:
        assert (
            await client.ask(request(b"POST /v1/files", b"Content-Length: 100000", fields=WITHOUT_KEY))
        ).status == 401
        await client.send(smuggled)
        client.writer.write_eof()
        assert await client.rest() == b""
    assert await reached(connect, upstream) == []


async def test_preflight_without_key_never_reaches_the_upstream(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    preflight = (b"Origin: https://page.example", b"Access-Control-Request-Method: POST")
    with_body = (*preflight, sized(b"body"))
    for path in (b"/v1/models", b"/chat/completions", b"/api/v0/models", b"/admin/models"):
        for lines, body, status in [(preflight, b"", 204), (with_body, b"body", 204), ((), b"", 401)]:
            sent = request(b"OPTIONS " + path, *lines, body=body, fields=WITHOUT_KEY)
            assert (await ask(connect, sent)).status == status, sent
    assert await reached(connect, upstream) == []


async def test_gateways_key_never_reaches_the_upstream_by_x_api_key(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    for name in (b"X-API-Key", b"x-api-key", b"X-API-KEY"):
        for lines in [(), (b"Connection: keep-alive, X-A",), (b"Authorization: Bearer " + K,)]:
            line = b"%s: %s" % (name, K)
            assert (await ask(connect, request(b"GET /v1/models", line, *lines))).status == 200
            sent = json_post(b"/v1/chat/completions", b"{}", line, *lines)
            assert (await ask(connect, sent)).status == 200
    assert len(upstream.received) == 18
    assert KEY not in str(upstream.received)


async def test_gateways_key_never_reaches_the_upstream_by_bearer(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    for value in (b"Bearer %s", b"bearer   %s  ", b"BEARER %s"):
        line = b"Authorization: " + value % K
        for lines in [(line,), (line, line), (line, b"Cookie: key=" + K), (line, b"X-Other: " + K)]:
            sent = request(b"GET /v1/models", *lines, fields=WITHOUT_KEY)
            assert (await ask(connect, sent)).status == 200
            sent = json_post(b"/v1/chat/completions", b"{}", *lines, fields=WITHOUT_KEY)
            assert (await ask(connect, sent)).status == 200
    assert len(upstream.received) == 24
    assert KEY not in str(upstream.received)
    assert MODEL.encode() in upstream.last.body  # the body was filled in


async def test_gateways_key_never_reaches_the_upstream_in_another_header(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    """Beside a letter, in a URL, or in a field's name."""
    for line in (
        b"X-Other: token_" + K,
        b"X-Other: x%sx" % K,
        b"Referer: https://gateway.local/?key=%s&x" % K,
        b"Cookie: a=1; key=x%s" % K,
        b"X-%s: 1" % K,
        K + b": 1",
    ):
        assert (await ask(connect, request(b"GET /v1/models", line))).status == 200
    assert len(upstream.received) == 6
    assert KEY not in str(upstream.received)


async def test_unauthenticated_expect_gets_401_not_100(connect: Connect) -> None:
    for expectation in (b"Expect: 100-continue", b"Expect: something else"):
        for path in (*BODY_PATHS, b"/nowhere", b"/health/"):
            sent = request(b"POST " + path, expectation, b"Content-Length: 9", fields=WITHOUT_KEY)
            answer = await ask(connect, sent)
            assert answer.status == 401, path
            assert (answer.one("X-Request-Id") or "").startswith("req_")
