"""Promises about keys: every spelling of a path needs one, no response quotes one. RFC 3986 section 6."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import FIELDS, KEY, Connect
from tests.hostile.wire import WITHOUT_KEY, ask, json_post, reached, request
from tests.support.upstream import ScriptedUpstream, raw

K = KEY.encode()
NOT_HEALTH = rb"""
    /health/ //health //x/health /HEALTH /health%2f /health%00 /health;a /health/ready /./health
    /v1/../health /v1/models/../../health /health/../v1/models /health/..%2fv1/models
    /health%2f..%2fv1/models /health/%2e%2e/v1/models /health\..\v1\models /v1/models?/health
    /v1/models?x=/health /v1/models#/health /v1/models;/health /v1/models/..;/health /v1//models
    //v1/models ///v1/models /\v1/models /;/v1/models /..;/v1/models /.//v1/models /V1/models
    /%76%31/models /v1%2fmodels /%2e/v1/models http://x/v1/models http://health/v1/models
    http://x/health/../v1/models https://gateway.local/v1/models
""".split()
# No target at all: refused before the key is checked.
NO_TARGETS = [b"*", b"http:///health", b"x:/health", b"http:health", b"http:/health", b"health", b"/\t/v1"]
# Only the dashboard's own files are open.
DASHBOARD = b"""
    /dashboard/../v1/models /dashboard/%2e%2e/v1/models /dashboard//v1/models
    /dashboard/../admin/models/active /dashboard/../debug/status /dashboard/static/../../v1/models
    /dashboard/static/%2e%2e/%2e%2e/admin/models/active /dashboard/static/..%2f..%2fproxy.py
    /dashboard%2f..%2fv1/models
""".split()
OWN = b"""
    /admin /admin/ /admin/models/active /admin/models/active/ /admin//models/active //admin/models/active
    /Admin/models/active /ADMIN/MODELS/ACTIVE /%61dmin/models/active /%2561dmin/models/active
    /admin%2fmodels%2factive /./admin/models/active /admin/../admin/models/active
    /health/../admin/models/active /v1/../admin/models/active /v1/admin/models
    http://x/admin/models/active /debug /debug/ /debug/status /debug/status?x=/health
    /debug/status#/health /debug/status%00 /debug/%73tatus /debug/metrics /debug/requests /debug/stream
    /debug;/status //debug/status /DEBUG/status /v1/debug/status http://x/debug/status /metrics
    /metrics/
""".split()


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


async def test_admin_and_debug_without_key_are_401_in_every_spelling(
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
