"""Promises about keys: no spelling of a path does without, no answer repeats one. RFC 3986 section 6."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import FIELDS, KEY, Connect
from tests.hostile.wire import WITHOUT_KEY, ask, json_post, reached, request
from tests.support.upstream import ScriptedUpstream, raw

K = KEY.encode()
NOT_HEALTH = [
    b"/health/",
    b"//health",
    b"//x/health",
    b"/HEALTH",
    b"/health%2f",
    b"/health%00",
    b"/health;a",
    b"/health/ready",
    b"/./health",
    b"/v1/../health",
    b"/v1/models/../../health",
    b"/health/../v1/models",
    b"/health/..%2fv1/models",
    b"/health%2f..%2fv1/models",
    b"/health/%2e%2e/v1/models",
    b"/health\\..\\v1\\models",
    b"/v1/models?/health",
    b"/v1/models?x=/health",
    b"/v1/models#/health",
    b"/v1/models;/health",
    b"/v1/models/..;/health",
    b"/v1//models",
    b"//v1/models",
    b"///v1/models",
    b"/\\v1/models",
    b"/;/v1/models",
    b"/..;/v1/models",
    b"/.//v1/models",
    b"/V1/models",
    b"/%76%31/models",
    b"/v1%2fmodels",
    b"/%2e/v1/models",
    b"http://x/v1/models",
    b"http://health/v1/models",
    b"http://x/health/../v1/models",
    b"https://gateway.local/v1/models",
]
# No target at all: refused before anybody asks for a key.
NO_TARGETS = [b"*", b"http:///health", b"x:/health", b"http:health", b"http:/health", b"health", b"/\t/v1"]
# The dashboard's own files are open; nothing else below its name is there.
DASHBOARD = [
    b"/dashboard/../v1/models",
    b"/dashboard/%2e%2e/v1/models",
    b"/dashboard//v1/models",
    b"/dashboard/../admin/models/active",
    b"/dashboard/../debug/status",
    b"/dashboard/static/../../v1/models",
    b"/dashboard/static/%2e%2e/%2e%2e/admin/models/active",
    b"/dashboard/static/..%2f..%2fproxy.py",
    b"/dashboard%2f..%2fv1/models",
]
OWN = [
    b"/admin",
    b"/admin/",
    b"/admin/models/active",
    b"/admin/models/active/",
    b"/admin//models/active",
    b"//admin/models/active",
    b"/Admin/models/active",
    b"/ADMIN/MODELS/ACTIVE",
    b"/%61dmin/models/active",
    b"/%2561dmin/models/active",
    b"/admin%2fmodels%2factive",
    b"/./admin/models/active",
    b"/admin/../admin/models/active",
    b"/health/../admin/models/active",
    b"/v1/../admin/models/active",
    b"/v1/admin/models",
    b"http://x/admin/models/active",
    b"/debug",
    b"/debug/",
    b"/debug/status",
    b"/debug/status?x=/health",
    b"/debug/status#/health",
    b"/debug/status%00",
    b"/debug/%73tatus",
    b"/debug/metrics",
    b"/debug/requests",
    b"/debug/stream",
    b"/debug;/status",
    b"//debug/status",
    b"/DEBUG/status",
    b"/v1/debug/status",
    b"http://x/debug/status",
    b"/metrics",
    b"/metrics/",
]


async def test_no_spelling_of_the_path_escapes_the_key_check(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    for target in NOT_HEALTH:
        answer = await ask(connect, request(b"GET " + target, fields=WITHOUT_KEY))
        assert answer.status == 401, target
    assert await reached(connect, upstream) == []


@pytest.mark.parametrize(("targets", "statuses"), [(NO_TARGETS, {400}), (DASHBOARD, {401, 404})])
async def test_nothing_is_behind_a_target_that_needs_no_key(
    connect: Connect, upstream: ScriptedUpstream, targets: list[bytes], statuses: set[int]
) -> None:
    for target in targets:
        answer = await ask(connect, request(b"GET " + target, fields=WITHOUT_KEY))
        assert answer.status in statuses, target
        assert b"activeModel" not in answer.body
    assert await reached(connect, upstream) == []


async def test_admin_and_debug_without_key_are_401_however_they_are_spelt(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    for target in OWN:
        answer = await ask(connect, request(b"GET " + target, fields=WITHOUT_KEY))
        assert answer.status == 401, target
    assert await reached(connect, upstream) == []


TOLD = [
    (401, request(b"GET /v1/models", b"X-API-Key: %sx" % K, fields=WITHOUT_KEY)),
    (401, request(b"GET /v1/models", b"Authorization: Basic " + K, fields=WITHOUT_KEY)),
    (401, request(b"GET /v1/%s?key=%s" % (K, K), b"X-Request-Id: " + K, fields=WITHOUT_KEY)),
    (404, request(b"GET /nowhere/%s?key=%s" % (K, K), b"X-Request-Id: a:" + K)),
    (404, request(b"GET /v1/admin/" + K)),
    (404, request(b"GET /dashboard/static/" + K)),
    (400, request(b"GET /v1/../" + K)),
    (400, request(b"GET /v1/models", K)),
    (400, request(b"GET /v1/models", b"X-API-Key : " + K)),
    (400, request(b"%s /v1/models" % K)),
    (400, request(b"GET /v1/models?" + K, b"X-A: \x7f")),
    (400, request(b"GET /v1/models", fields=FIELDS.replace(b"gateway.local", b"a " + K))),
    (400, json_post(b"/admin/models/activate", K)),
    (400, json_post(b"/admin/models/activate", b'{"modelKey": {"%s": 1}}' % K)),
    (415, request(b"POST /admin/models/activate", b"Content-Type: text/" + K, b"Content-Length: 0")),
    (405, request(b"DELETE /health?" + K)),
    (502, request(b"GET /v1/%s?%s" % (K, K), b"Authorization: Bearer " + K)),
]
QUOTED = {
    "request id": (404, request(b"DELETE /debug/requests/" + K)),
    "header name": (400, request(b"GET /v1/models", K + b": \x7f")),
    "field name": (400, json_post(b"/admin/models/activate", b'{"modelKey": "m", "%s": 1}' % K)),
    "field value": (400, json_post(b"/admin/models/activate", b'{"modelKey": "m", "type": "%s"}' % K)),
}


async def test_the_key_is_in_no_answer_that_the_gateway_makes_itself(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    upstream.script = raw(b"no HTTP\r\n\r\n")
    for status, sent in TOLD:
        answer = await ask(connect, sent)
        assert answer.status == status, sent
        assert KEY not in str(answer), sent


@pytest.mark.parametrize("place", QUOTED)
async def test_the_key_is_in_no_answer_that_quotes_what_it_refuses(connect: Connect, place: str) -> None:
    status, sent = QUOTED[place]
    answer = await ask(connect, sent)
    assert answer.status == status
    assert KEY not in str(answer)
