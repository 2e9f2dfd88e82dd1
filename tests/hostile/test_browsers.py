"""Promises about requests that web pages make a browser send. Fetch standard, section 3.2; RFC 6454."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging

import pytest

from tests.conftest import StartGateway
from tests.hostile.conftest import FIELDS, KEY, MODEL, Connect
from tests.hostile.wire import WITHOUT_KEY, ask, json_post, request
from tests.support.raw_client import Answer, raw_client
from tests.support.requests import sized
from tests.support.upstream import ScriptedUpstream, answer
from tests.support.waiting import until

PAGE, OTHER = "https://page.example", "https://other.example"
ORIGIN = b"Origin: " + PAGE.encode()
PREFLIGHT = (
    ORIGIN,
    b"Access-Control-Request-Method: POST",
    b"Access-Control-Request-Headers: x-api-key, content-type",
    b"Access-Control-Request-Private-Network: true",
)
KEYED = {"auth": {"api_key": KEY}}
CONFIGURATIONS: list[dict[str, dict[str, object]]] = [
    {},
    KEYED,
    {**KEYED, "cors": {"origins": ["*"]}},
    {**KEYED, "cors": {"origins": ["*", PAGE]}},
    {**KEYED, "cors": {"origins": [PAGE]}},
    {"cors": {"origins": ["*"]}},
    {"cors": {"origins": [OTHER]}},
]
OWN = [b"/admin/models/active", b"/debug/status", b"/debug/stream", b"/metrics", b"/api/v1/models/load"]
CHANGES = [b"/admin/models/activate", b"/admin/models/deactivate", b"/admin/models/unload"]
FORMS = [
    b"Content-Type: text/plain",
    b"Content-Type: text/plain; charset=application/json",
    b"Content-Type: text/plain, application/json",
    b"Content-Type: application/x-www-form-urlencoded",
    b"Content-Type: multipart/form-data; boundary=application/json",
    b"Content-Type: text/json",
    b"Content-Type:",
    b"X-A: no type at all",
]
OTHER_NAME = b'{"modelKey": "planted"}'


async def active_model(connect: Connect) -> str:
    answered = await ask(connect, request(b"GET /admin/models/active"))
    return str(json.loads(answered.body)["activeModel"]["modelKey"])


def names(answered: Answer) -> set[str]:
    return {name.lower() for name, _ in answered.headers}


async def test_never_access_control_allow_credentials(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Not in responses, preflights or errors, and not when LM Studio allows it."""
    upstream.script = answer(
        extra=f"Access-Control-Allow-Credentials: true\r\nAccess-Control-Allow-Origin: {PAGE}\r\n"
    )
    for tables in CONFIGURATIONS:
        gateway = await start_gateway(upstream.base_url, **tables)
        for path in (
            b"/v1/models",
            b"/v1/chat/completions",
            b"/admin/models/active",
            b"/health",
            b"/nowhere",
        ):
            for sent in (
                request(b"GET " + path, ORIGIN),
                request(b"GET " + path, ORIGIN, fields=WITHOUT_KEY),
                json_post(path, b"{}", ORIGIN),
                request(b"OPTIONS " + path, *PREFLIGHT, fields=WITHOUT_KEY),
            ):
                async with raw_client(gateway.port) as client:
                    answered = await client.ask(sent)
                assert "access-control-allow-credentials" not in names(answered), (tables, sent)
                assert len(answered.all("Access-Control-Allow-Origin")) < 2, (tables, sent)


async def test_a_foreign_origin_has_no_access_to_admin_or_debug(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    keyless = {"network": {"ip_allowlist": ["127.0.0.1"]}}
    for tables in (keyless, KEYED, *({**KEYED, "cors": {"origins": [one]}} for one in ("*", OTHER))):
        gateway = await start_gateway(upstream.base_url, **tables)
        for origin in (ORIGIN, b"Origin: null", b"Origin: " + OTHER.encode() + b".evil.example"):
            for path in OWN:
                for sent in (
                    request(b"OPTIONS " + path, origin, *PREFLIGHT[1:], fields=WITHOUT_KEY),
                    request(b"GET " + path, origin),
                ):
                    async with raw_client(gateway.port) as client:
                        answered = await client.ask(sent)
                    assert answered.status in {204, 403}, sent
                    assert not {name for name in names(answered) if name.startswith("access-control-")}, sent


async def test_browsers_simple_request_to_admin_is_refused_even_with_a_valid_key(connect: Connect) -> None:
    for path in CHANGES:
        for form in FORMS:
            for lines in [(ORIGIN, form), (b"Origin: null", form), (form,)]:
                sent = request(b"POST " + path, *lines, sized(OTHER_NAME), body=OTHER_NAME)
                answered = await ask(connect, sent)
                assert answered.status in {403, 415}, sent
                assert answered.status == 403 or b"application/json" in answered.body
    assert await active_model(connect) == MODEL


async def test_json_post_to_admin_from_another_site_is_refused(
    connect: Connect, start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """With a key, and without one even if the page's own name resolves to the gateway (DNS rebinding)."""
    keyless = await start_gateway(upstream.base_url, network={"ip_allowlist": ["127.0.0.1"]})
    same = b"Origin: http://gateway.local.evil.example"
    for line in (ORIGIN, b"Origin: null", b"Origin: http://", same, b"Sec-Fetch-Site: cross-site"):
        for path in (*CHANGES, b"/api/v1/models/Load/"):
            sent = json_post(path, OTHER_NAME, line)
            assert (await ask(connect, sent)).status == 403, sent
            async with raw_client(keyless.port) as client:
                assert (
                    await client.ask(json_post(path, OTHER_NAME, line, fields=WITHOUT_KEY))
                ).status == 403, sent
    for host in (b"page.example", b"page.example:8002", b"127.0.0.1.page.example", b"localhost.page.example"):
        own = b"Host: %s\r\nOrigin: http://%s\r\nSec-Fetch-Site: same-origin\r\n" % (host, host)
        async with raw_client(keyless.port) as client:
            assert (await client.ask(json_post(CHANGES[0], OTHER_NAME, fields=own))).status == 421, host
    assert await active_model(connect) == MODEL


def nested(depth: int) -> bytes:
    return b'{"modelKey":"m","defaultInference":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"


BROKEN = {
    "empty": b"",
    "blank": b" \r\n",
    "cut off": b'{"modelKey":',
    "no JSON": b"modelKey=m",
    "two": b'{"modelKey":"m"}{"modelKey":"m"}',
    "no UTF-8": b'{"modelKey":"\xff"}',
    "no UTF-8 name": b'{"\xff":1}',
    "half a surrogate": b'{"modelKey":"\\ud800"}',
    "two byte order marks": b'\xef\xbb\xbf\xef\xbb\xbf{"modelKey":"m"}',
    "UTF-16": '{"modelKey":"m"}'.encode("utf-16"),
    "NUL": b'{"modelKey":"m"}\x00',
    "NaN": b'{"modelKey":"m","defaultInference":{"temperature":NaN}}',
    "null": b"null",
    "array": b'[{"modelKey":"m"}]',
    "text": b'"m"',
    "number": b"1",
    "mistyped": b'{"modelKey":{"modelKey":"m"}}',
    "mistyped boolean": b'{"modelKey":true}',
    "mistyped list": b'{"modelKey":"m","defaultInference":{"stopStrings":[[],{},1]}}',
    "mistyped object": b'{"modelKey":"m","defaultInference":[]}',
    "no name": b'{"modelKey":""}',
    "no UTF-8 after a mistake": b'{"modelKey":1,"instanceId":"\xff"}',
    "no JSON after a mistake": b'{"modelKey":1,no JSON',
    "unknown": b'{"modelKey":"m","__proto__":{"type":"llm"}}',
    "twice": b'{"modelKey":1,"modelKey":"m"}',
    "out of range": b'{"modelKey":"m","defaultInference":{"temperature":1e999}}',
    "large number": b'{"modelKey":"m","defaultInference":{"maxTokens":' + b"9" * 5000 + b"}}",
    "deep arrays": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep and whole": nested(100_000),
    "deep and unknown": b'{"modelKey":"m","x":' + b"[" * 100_000,
    "less deep": nested(900),
    "long name": b'{"%s":1}' % (b"k" * 500_000),
    "many names": b"{" + b",".join(b'"defaultInferenc%d":1' % number for number in range(2000)) + b"}",
    "huge": b'{"modelKey":"%s"}' % (b"m" * 2 * 1024**2),
}


async def test_admin_with_broken_deep_huge_or_mistyped_json_answers_4xx_and_never_hangs(
    connect: Connect,
) -> None:
    paths = (b"/admin/models/load", b"/admin/models/activate")
    for path, (kind, body) in itertools.product(paths, BROKEN.items()):
        async with asyncio.timeout(2):
            answered = await ask(connect, json_post(path, body))
        assert 400 <= answered.status < 500, kind
        assert json.loads(answered.body)["error"], kind
    assert await active_model(connect) == MODEL


async def test_admin_takes_json_of_the_dashboards_own_origin(connect: Connect) -> None:
    """The requests above are refused for their origin, and not because all are."""
    own = b"Origin: http://gateway.local\r\nSec-Fetch-Site: same-origin"
    body = b'{"modelKey":"m","type":"llm"}'
    assert (await ask(connect, json_post(CHANGES[0], body, own, fields=FIELDS))).status == 200
    assert await active_model(connect) == "m"


PROXIED = {
    b"/v1/chat/completions": ("error", "code"),
    b"/api/v0/models": ("error", "code"),
    b"/api/v1/chat": ("error", "code"),
    b"/completions": ("error", "code"),
    b"/v1//embeddings": ("error", "code"),
    b"/v1/messages": ("error", "message"),
}


async def test_a_page_of_another_site_uses_no_model_while_no_key_is_set(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """What a browser sends without a preflight is refused in the path's shape, and reaches nothing."""
    for tables in ({}, {"network": {"ip_allowlist": ["127.0.0.1"]}}, {"cors": {"origins": [OTHER]}}):
        gateway = await start_gateway(upstream.base_url, **tables)
        local = b"Host: localhost:%d\r\n" % gateway.port
        for path, (outer, inner) in PROXIED.items():
            for line in (
                ORIGIN,
                ORIGIN + b"\r\nSec-Fetch-Site: cross-site",
                b"Origin: null",
                b"Origin: http://localhost:1",
                b"Origin: http://localhost:%d.evil.example" % gateway.port,
                b"Origin: http://localhost:%d\r\nOrigin: https://evil.example" % gateway.port,
                b"Sec-Fetch-Site: cross-site",
                b"Sec-Fetch-Site: same-origin\r\nOrigin: https://evil.example",
            ):
                for lines in ((b"Content-Type: text/plain", line), (b"Expect: 100-continue", line)):
                    sent = request(b"POST " + path, *lines, sized(b"{}"), body=b"{}", fields=local)
                    async with raw_client(gateway.port) as client:
                        await client.send(sent)
                        answered = await client.answer()
                    assert answered.status == 403, sent
                    assert "auth.api_key" in answered.body.decode(), sent
                    assert json.loads(answered.body)[outer][inner], sent
        own = b"Origin: http://localhost:%d\r\nSec-Fetch-Site: same-origin" % gateway.port
        async with raw_client(gateway.port) as client:
            await client.send(json_post(b"/v1/own-page", b"{}", own, fields=local))
            assert (await client.answer()).status == 200
    assert {received.target for received in upstream.received} == {"/v1/own-page"}


async def test_the_log_names_the_page_that_was_refused(
    start_gateway: StartGateway, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """As it does for a refused preflight; a browser shows only that the request failed."""
    caplog.set_level(logging.INFO, "lmgateway")
    gateway = await start_gateway(upstream.base_url)
    local = b"Host: localhost\r\n"
    async with raw_client(gateway.port) as client:
        await client.send(json_post(b"/v1/completions", b"{}", ORIGIN, fields=local))
        assert (await client.answer()).status == 403
    assert f"127.0.0.1: a page of {PAGE} was refused; add its origin to cors.origins" in caplog.text
    await until(lambda: "POST /v1/completions 403 (page_refused)" in caplog.text)
