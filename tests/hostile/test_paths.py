"""Promises about paths and queries. RFC 9112 section 3.2, RFC 3986 section 2."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import Connect
from tests.hostile.wire import ask, post, request, with_body
from tests.support.upstream import ScriptedUpstream, scripted_upstream

# Every octet but the line feed, which has a row of its own; all characters that RFC 3986 allows in a path;
# and others that clients send.
OCTETS = "".join(f"%{octet:02x}%{octet:02X}" for octet in range(256) if octet != 0x0A)
PCHARS = "AZaz09-._~!$&'()*+,;=:@"
UNWISE = '"<>[\\]^`{|}%zz%'

WAYS_OUT = r"""
    /v1/../internal /v1/.. /v1/%2e%2e/internal /v1/%2E./internal /v1/.%2e/internal /v1/..%2Finternal
    /v1/..%2finternal /v1%2f..%2finternal /v1/%2e%2e%2finternal /v1/..\internal /v1\..\internal
    /v1/..%5cinternal /v1/..%5Cinternal /v1/%252e%252e/internal /v1/%25252e%25252e%25252finternal
    /v1/%2525252525252e%2525252525252e/internal /v1/models/../../internal /v1//..//internal
    /v1/./../internal /v1/%2e/%2e%2e/internal /v1/../v1/../internal?a=/v1/models
    /v1/models/%2e%2e/%2e%2e/internal#/v1/models /v1/../internal%3f/v1/models /../internal
    //v1/../internal /internal/../v1/../internal /%2e%2e/internal /chat/completions/../../internal
    /models/%2e%2e/%2e%2e/internal /api/v0/../internal /api/v1/%2e%2e/internal /%76%31/../internal
    http://gateway.local/v1/../internal http://gateway.local/v1/%2e%2e/internal
    http://gateway.local/../internal /internal /v1internal /v1;/internal /V1/../internal
    /api/../internal
""".split()
MODEL_IDS = """
    org%2Fmodel org%2fmodel%2Ffile.gguf with%20space 100%25 100%2525 a+b a%2Bb %E6%A8%A1%E5%9E%8B
    %e6%a8%a1%e5%9e%8b a;v=1,2 a@q4_k_m:2 ..a a... %2e%2ea
""".split()
OTHER_HOSTS = r"""
    http://{other}/v1/models HTTPS://{other}/v1/models ws://{other}/v1/models
    http://{lm_studio}@{other}/v1/models http://{other}#@{lm_studio}/v1/models
    http://{other}\@{lm_studio}/v1/models //{other}/v1/models ///{other}/v1/models /\{other}/v1/models
    \\{other}\v1\models /v1/@{other}/v1/models /v1//{other}/v1/models /v1/http://{other}/v1/models
    /v1/models?url=http://{other}/ @{other}/v1/models :80@{other}/v1/models .{other}/v1/models
    {other}/v1/models http:{other}/v1/models http:/{other}/v1/models http:///{other}/v1/models {other}
""".split()
QUERIES = [
    "b=2&a=1",
    "a=1&a=2&a=1",
    "a=&b&=c&&",
    "a=1+2%2B3%203",
    "a=b%26c%3Dd",
    "a=100%25&b=%2525",
    "a=%e6%a8%a1&b=%E6%A8%A1",
    "a=/../..&b=//x&c=%2e%2e%2f",
    "a=b?c&d=?",
    "a=%00%0d%0a%0D%0A%7f",
    "a;b=1;2",
    "%61=%7E~",
    f"a={UNWISE}",
]


def get(target: str) -> bytes:
    return request(f"GET {target}".encode())


async def test_nothing_outside_the_apis_is_reached_by_dot_segments(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    statuses = {target: (await ask(connect, get(target))).status for target in WAYS_OUT}
    assert set(statuses.values()) == {400, 404}, statuses
    assert not upstream.received


@pytest.mark.parametrize(
    "targets",
    [
        [f"/v1/models/{model_id}" for model_id in MODEL_IDS],
        [f"/v1/models/x{OCTETS}", f"/v1/models/{PCHARS}", f"/v1/models/{UNWISE}"],
        ["/v1/models/x/", "/v1/MODELS/", "/api/v0/models/%7Ex", "/api/v1/models/%7ex", "/v1/"],
        ["/v1/administrators", "/v1/healthz", "/v1/models/admin", "/v1/models/..a/.b/c.."],
        ["/v1/models/a%0ab"],
    ],
    ids=["model ids", "every octet", "odd paths", "like the gateway's own", "line feed"],
)
async def test_a_path_arrives_byte_for_byte(
    connect: Connect, upstream: ScriptedUpstream, targets: list[str]
) -> None:
    for target in targets:
        assert (await ask(connect, get(target))).status == 200
    assert [received.target for received in upstream.received] == targets


@pytest.mark.parametrize(
    "queries",
    [
        [*QUERIES, f"{PCHARS}/?={OCTETS}", "%0a=%0A", "?", "&", "="],
        [""],
    ],
    ids=["queries", "lone question mark"],
)
@pytest.mark.parametrize("path", ["/v1/models", "/v1/chat/completions"])
async def test_a_query_arrives_byte_for_byte(
    connect: Connect, upstream: ScriptedUpstream, path: str, queries: list[str]
) -> None:
    for query in queries:
        assert (await ask(connect, post(f"{path}?{query}".encode(), b"{}"))).status == 200
    assert [received.target for received in upstream.received] == [f"{path}?{query}" for query in queries]


@pytest.mark.parametrize("place", ["/v1/models/x{}", "/v1/models?x={}", "/nowhere{}", "/v1/../{}"])
async def test_an_encoded_line_break_splits_neither_request_nor_answer(
    connect: Connect, upstream: ScriptedUpstream, place: str
) -> None:
    for newline in ("%0d%0a", "%0D", "%0a", "%E5%98%8D%E5%98%8A", "%250d%250a"):
        upstream.received.clear()
        smuggled = f"{newline}X-Smuggled:%201{newline}{newline}GET%20/v1/smuggled%20HTTP/1.1{newline}"
        async with connect() as client:
            answered = await client.ask(get(place.format(smuggled)))
            marker = await client.ask(get("/v1/models/marker"))
        assert answered.status in {200, 400, 404}
        assert (marker.status, answered.one("X-Smuggled"), marker.one("X-Smuggled")) == (200, None, None)
        *before, last = upstream.received
        assert last.target == "/v1/models/marker"
        assert len(before) == (answered.status == 200)
        assert all(received.line.count(" ") == 2 for received in upstream.received)
        assert not any(received.all("X-Smuggled") for received in upstream.received)


@pytest.mark.parametrize("method", [b"GET", b"POST"])
async def test_no_target_makes_the_gateway_call_another_host(
    connect: Connect, upstream: ScriptedUpstream, method: bytes
) -> None:
    async with scripted_upstream() as other:
        hosts = {"other": f"127.0.0.1:{other.port}", "lm_studio": f"127.0.0.1:{upstream.port}"}
        for target in (target.format(**hosts) for target in OTHER_HOSTS):
            assert (await ask(connect, with_body(b"%s %s" % (method, target.encode()), b"{}"))).status in {
                200,
                400,
                404,
            }, target
            assert not other.connections, target
    assert all(received.one("Host") == hosts["lm_studio"] for received in upstream.received)


@pytest.mark.parametrize(
    "target", ["http://gateway.local/v1/models?a=%2F", "HTTP://gateway.local:80/v1/models?a=%2F"]
)
async def test_the_absolute_form_means_the_gateway_itself(
    connect: Connect, upstream: ScriptedUpstream, target: str
) -> None:
    assert (await ask(connect, get(target))).status == 200
    assert upstream.last.target == "/v1/models?a=%2F"
    assert upstream.last.one("Host") == f"127.0.0.1:{upstream.port}"
