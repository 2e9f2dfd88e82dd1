"""The limits of a key: what is refused, when it is admitted again, and what the header fields say."""

from __future__ import annotations

import pytest

from lmgateway.access.buckets import day_of
from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.key_limits import LimitClocks, ask, own_key
from tests.support.keys import OWNER, change_key, make_key
from tests.support.upstream import ScriptedUpstream, answer, raw

HOUR = 3600


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> LimitClocks:
    return LimitClocks(monkeypatch)


@pytest.fixture
async def gateway(start_gateway: StartGateway, upstream: ScriptedUpstream) -> Gateway:
    """A gateway whose LM Studio answers every request with 10 tokens."""
    upstream.script = answer(b'{"usage": {"prompt_tokens": 3, "completion_tokens": 7, "total_tokens": 10}}')
    return await start_gateway(upstream.base_url, auth={"api_key": OWNER})


async def test_requests_per_minute(gateway: Gateway, upstream: ScriptedUpstream, clocks: LimitClocks) -> None:
    """The third of two is refused, and one is admitted after the time that Retry-After names, not before."""
    key = await make_key(gateway, limits={"requestsPerMinute": 2})
    first = {"limit-requests": "2", "remaining-requests": "1", "reset-requests": "30s"}
    assert (await ask(gateway, key))[:2] == (200, first)
    clocks.pass_seconds(0.5)
    assert (await ask(gateway, key))[1] == first | {"remaining-requests": "0", "reset-requests": "1m0s"}
    status, fields, body = await ask(gateway, key)
    assert (status, fields["Retry-After"], fields["X-Refused-Reason"]) == (429, "30", "rate_limit_exceeded")
    assert (fields["remaining-requests"], fields["reset-requests"]) == ("0", "1m0s")
    assert "x-should-retry" not in fields
    assert body["error"] == {
        "message": "The key alice has used up its 2 requests per minute (limits.requestsPerMinute). "
        "There is room again in 30s.",
        "type": "rate_limit_error",
        "param": None,
        "code": "rate_limit_exceeded",
    }
    clocks.pass_seconds(29)
    assert (await ask(gateway, key))[1]["Retry-After"] == "1"
    clocks.pass_seconds(1)
    assert (await ask(gateway, key))[0] == 200
    assert len(upstream.posts) == 3


async def test_refusals_cost_nothing(
    gateway: Gateway, upstream: ScriptedUpstream, clocks: LimitClocks
) -> None:
    """A client that hammers waits no longer than one that waits."""
    key = await make_key(gateway, limits={"requestsPerMinute": 1, "tokensPerDay": 1000})
    assert (await ask(gateway, key))[0] == 200
    for _ in range(20):
        assert (await ask(gateway, key))[0] == 429
    clocks.pass_seconds(60)
    assert (await ask(gateway, key))[0] == 200
    assert (await own_key(gateway, key))["used"] == {"requestsPerMinute": 1, "tokensPerDay": 20}
    assert len(upstream.posts) == 2


async def test_tokens_per_minute(gateway: Gateway, clocks: LimitClocks) -> None:
    """What one answer used is counted for the next request at once, also beyond the limit."""
    key = await make_key(gateway, limits={"tokensPerMinute": 15})
    whole = {"limit-tokens": "15", "remaining-tokens": "15", "reset-tokens": "0s"}
    assert (await ask(gateway, key))[:2] == (200, whole)
    assert (await ask(gateway, key))[1] == whole | {"remaining-tokens": "5", "reset-tokens": "40s"}
    # 20 of 15: one more than 5 short, at four seconds each.
    status, fields, _ = await ask(gateway, key)
    assert (status, fields["Retry-After"]) == (429, "24")
    assert (fields["remaining-tokens"], fields["reset-tokens"]) == ("0", "1m20s")
    clocks.pass_seconds(23)
    assert (await ask(gateway, key))[0] == 429
    clocks.pass_seconds(1)
    assert (await ask(gateway, key))[0] == 200


async def test_tokens_per_day(gateway: Gateway, clocks: LimitClocks) -> None:
    """They come back at midnight, and clients don't retry until then."""
    key = await make_key(gateway, limits={"tokensPerDay": 10, "tokensPerMinute": 10**6})
    assert (await ask(gateway, key))[1]["remaining-tokens"] == "10"
    clocks.unix = day_of(clocks.unix).ends - 2 * HOUR - 3
    status, fields, body = await ask(gateway, key)
    assert (status, fields["Retry-After"], fields["x-should-retry"]) == (429, "7203", "false")
    assert (fields["limit-tokens"], fields["remaining-tokens"]) == ("10", "0")
    assert fields["reset-tokens"] == "2h0m3s"
    assert "10 tokens per day (limits.tokensPerDay)" in body["error"]["message"]
    assert "at midnight, in 2h0m3s" in body["error"]["message"]
    clocks.pass_seconds(2 * HOUR + 2)
    assert (await ask(gateway, key))[0] == 429
    clocks.pass_seconds(1)
    assert (await ask(gateway, key))[0] == 200


async def test_codex_is_given_the_reason_of_a_day(gateway: Gateway, clocks: LimitClocks) -> None:
    """It shows this header field to its user, and only after this type it doesn't wait until midnight."""
    key = await make_key(gateway, limits={"tokensPerDay": 10, "requestsPerMinute": 4})
    path, codex = "/v1/responses", {"user_agent": "codex_exec/0.171.0"}
    assert (await ask(gateway, key, path, **codex))[0] == 200
    status, fields, body = await ask(gateway, key, path, **codex)
    assert (status, fields["x-should-retry"]) == (429, "false")
    sentence = body["error"]["message"]
    assert fields["x-codex-promo-message"] == sentence.removesuffix(".")
    assert body["error"] == {
        "message": sentence,
        "type": "usage_limit_reached",
        "param": None,
        "code": "rate_limit_exceeded",
    }
    # Other clients get neither, and Codex itself waits for a limit of a minute.
    _, fields, body = await ask(gateway, key, path)
    assert ("x-codex-promo-message" in fields, body["error"]["type"]) == (False, "rate_limit_error")
    await change_key(gateway, limits={"tokensPerDay": None, "requestsPerMinute": 1})
    assert (await ask(gateway, key, path, **codex))[0] == 429
    _, fields, body = await ask(gateway, key, path, **codex)
    assert ("x-codex-promo-message" in fields, body["error"]["type"]) == (False, "rate_limit_error")


async def test_the_header_has_the_tighter_limit_of_tokens(gateway: Gateway, clocks: LimitClocks) -> None:
    """Of the minute and the day, the one of which less is left."""
    key = await make_key(gateway, limits={"tokensPerDay": 40, "tokensPerMinute": 20})
    assert (await ask(gateway, key))[1]["limit-tokens"] == "20"
    assert (await ask(gateway, key))[1]["limit-tokens"] == "20"
    clocks.pass_seconds(60)
    assert (await ask(gateway, key))[0] == 200
    clocks.pass_seconds(60)
    status, fields, _ = await ask(gateway, key)
    assert (status, fields["limit-tokens"], fields["remaining-tokens"]) == (200, "40", "10")


async def test_of_two_limits_the_longer_wait_counts(gateway: Gateway, clocks: LimitClocks) -> None:
    """Retry-After is the time after which every limit has room."""
    key = await make_key(gateway, limits={"requestsPerMinute": 1, "tokensPerMinute": 5})
    assert (await ask(gateway, key))[0] == 200
    # A request in 60 s; 6 tokens short at 12 s each.
    status, fields, body = await ask(gateway, key)
    assert (status, fields["Retry-After"]) == (429, "72")
    assert "tokensPerMinute" in body["error"]["message"]
    clocks.pass_seconds(71)
    assert (await ask(gateway, key))[0] == 429
    clocks.pass_seconds(1)
    assert (await ask(gateway, key))[0] == 200


@pytest.mark.parametrize(
    ("path", "refusal"),
    [
        ("/v1/messages", "anthropic"),
        ("/v1/embeddings", "openai"),
        ("/api/v1/chat", "openai"),
        ("/completions", "openai"),
        ("//v1/responses", "openai"),
        ("/v1/messages/count_tokens", "anthropic"),
    ],
)
@pytest.mark.usefixtures("clocks")
async def test_every_api_is_limited(gateway: Gateway, path: str, refusal: str) -> None:
    """However its path is spelled, and in the shape that its clients parse."""
    key = await make_key(gateway, limits={"requestsPerMinute": 1})
    await ask(gateway, key, path)
    status, fields, body = await ask(gateway, key, path)
    assert (status, fields["X-Refused-Reason"]) == (429, "rate_limit_exceeded")
    if refusal == "anthropic":
        assert (body["type"], body["error"]["type"]) == ("error", "rate_limit_error")
    else:
        assert (body["error"]["type"], body["error"]["code"]) == ("rate_limit_error", "rate_limit_exceeded")


@pytest.mark.usefixtures("clocks")
async def test_other_requests_are_free_and_have_the_headers(gateway: Gateway) -> None:
    """Listings, the gateway's own paths and errors don't count, and say what is left."""
    key = await make_key(gateway, limits={"requestsPerMinute": 5, "tokensPerDay": 1})
    await ask(gateway, key)
    for method, path, expected in (
        ("GET", "/v1/models", 200),
        ("GET", "/admin/keys/self", 200),
        ("GET", "/admin/keys", 403),
        ("GET", "/nowhere", 404),
        ("DELETE", "/admin/keys/self", 403),
        ("GET", "/dashboard/", 200),
    ):
        status, fields, _ = await ask(gateway, key, path, method=method)
        assert status == expected, path
        if path != "/dashboard/":  # it needs no key, so it has no caller
            assert (fields["remaining-requests"], fields["remaining-tokens"]) == ("4", "0"), path


@pytest.mark.usefixtures("clocks")
async def test_errors_of_lm_studio_have_the_headers(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """They are relayed otherwise as they are; so are the gateway's own for an LM Studio that is gone."""
    key = await make_key(gateway, limits={"requestsPerMinute": 9})
    upstream.script = answer(b'{"error": "no"}', status="400 Bad Request")
    status, fields, body = await ask(gateway, key)
    assert (status, body, fields["remaining-requests"]) == (400, {"error": "no"}, "8")
    upstream.script = raw(b"")
    status, fields, _ = await ask(gateway, key)
    assert (status, fields["remaining-requests"]) == (502, "7")
