"""What a key has used: counted from every kind of answer, kept over changes and restarts, and shown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from lmgateway.access.buckets import day_of
from lmgateway.simulator import Pace, Simulator, Switches
from lmgateway.web.state import RATE_LIMITS
from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.key_limits import CHAT, HELLO, LLM, LimitClocks, ask, own_key, rate_fields
from tests.support.keys import OWNER, bearer, change_key, make_key, revoke_key
from tests.support.studio import Studio, running_studio
from tests.support.upstream import STREAM_HEAD, Received, ScriptedUpstream, answer, chunk
from tests.support.waiting import PATIENCE_SECONDS

EMBEDDING = "text-embedding-nomic-embed-text-v1.5"
MESSAGES = [{"role": "user", "content": "Hello"}]


@pytest.fixture(autouse=True)
def clocks(monkeypatch: pytest.MonkeyPatch) -> LimitClocks:
    return LimitClocks(monkeypatch)


@pytest.fixture
async def studio() -> AsyncIterator[Studio]:
    async with running_studio(Simulator(pace=Pace.instant())) as studio:
        for model in (LLM, EMBEDDING):
            studio.simulator.load(model)
        studio.simulator.switches = Switches(embedding_usage=True)
        yield studio


@pytest.fixture
async def gateway(start_gateway: StartGateway, studio: Studio) -> Gateway:
    return await start_gateway(studio.base_url, auth={"api_key": OWNER})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, HELLO),
        (CHAT, HELLO | {"stream": True}),
        (CHAT, HELLO | {"stream": True, "stream_options": {"include_usage": True}}),
        ("/v1/completions", {"model": LLM, "prompt": "Hello", "max_tokens": 9}),
        ("/v1/responses", {"model": LLM, "input": "Hello"}),
        ("/v1/responses", {"model": LLM, "input": "Hello", "stream": True}),
        ("/v1/messages", {"model": LLM, "max_tokens": 9, "messages": MESSAGES}),
        ("/v1/messages", {"model": LLM, "max_tokens": 9, "messages": MESSAGES, "stream": True}),
        ("/api/v1/chat", {"model": LLM, "input": "Hello", "stream": True}),
        ("/api/v0/chat/completions", HELLO),
        ("/v1/embeddings", {"model": EMBEDDING, "input": "Hello you"}),
    ],
)
async def test_every_kind_of_answer_costs_its_tokens(
    gateway: Gateway, studio: Studio, path: str, body: object
) -> None:
    """As many as LM Studio used for prompt and completion; the next response's header has them."""
    key = await make_key(gateway, limits={"tokensPerMinute": 1000})
    status, fields, _ = await ask(gateway, key, path, body)
    assert (status, fields["remaining-tokens"]) == (200, "1000")
    total = studio.simulator.ledger.total
    used = total.prompt_tokens + total.completion_tokens
    assert used > 0
    _, fields, shown = await ask(gateway, key, "/admin/keys/self", method="GET")
    assert fields["remaining-tokens"] == str(1000 - used)
    assert shown["used"] == {"tokensPerMinute": used, "tokensPerDay": used}
    assert shown["left"] == {"tokensPerMinute": 1000 - used}


async def test_an_aborted_stream_costs_what_was_relayed(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """LM Studio reports no usage then, so the tokens that its client got are counted."""

    async def three_tokens(
        _request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(STREAM_HEAD + 3 * chunk(b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'))
        await reader.read()

    upstream.script = three_tokens
    gateway = await start_gateway(upstream.base_url, auth={"api_key": OWNER})
    key = await make_key(gateway, limits={"tokensPerMinute": 100})
    body = HELLO | {"stream": True}
    async with gateway.client.post(gateway.url(CHAT), json=body, headers=bearer(key)) as response:
        assert rate_fields(response.headers)["remaining-tokens"] == "100"
        received = b""
        while received.count(b"data:") < 3:
            received += await response.content.readany()
        response.close()
    await asyncio.wait_for(upstream.gone.get(), PATIENCE_SECONDS)
    assert (await own_key(gateway, key))["used"] == {"tokensPerMinute": 3, "tokensPerDay": 3}


async def test_a_changed_limit_applies_to_the_next_request(gateway: Gateway, clocks: LimitClocks) -> None:
    """And what was used stays used."""
    key = await make_key(gateway, limits={"requestsPerMinute": 2})
    assert [(await ask(gateway, key))[0] for _ in range(3)] == [200, 200, 429]
    await change_key(gateway, limits={"requestsPerMinute": 3})
    assert [(await ask(gateway, key))[0] for _ in range(2)] == [200, 429]
    await change_key(gateway, limits={"requestsPerMinute": 1})
    status, fields, _ = await ask(gateway, key)
    assert (status, fields["limit-requests"], fields["Retry-After"]) == (429, "1", "60")
    clocks.pass_seconds(60)
    assert (await ask(gateway, key))[0] == 200
    await change_key(gateway, limits=None)
    assert (await ask(gateway, key))[:2] == (200, {})


async def test_a_limit_of_the_day_counts_what_was_used_before_it(gateway: Gateway, studio: Studio) -> None:
    """A key without limits is counted too."""
    key = await make_key(gateway)
    assert (await ask(gateway, key))[:2] == (200, {})
    total = studio.simulator.ledger.total
    used = total.prompt_tokens + total.completion_tokens
    await change_key(gateway, limits={"tokensPerDay": used})
    status, fields, _ = await ask(gateway, key)
    assert (status, fields["remaining-tokens"]) == (429, "0")
    await change_key(gateway, limits={"tokensPerDay": used + 1})
    assert (await ask(gateway, key))[0] == 200


async def test_a_rotated_key_keeps_what_was_used_and_a_revoked_one_does_not(gateway: Gateway) -> None:
    """A new key of the same name begins with nothing used."""
    limits = {"requestsPerMinute": 1}
    key = await make_key(gateway, limits=limits)
    assert (await ask(gateway, key))[0] == 200
    url = gateway.url("/admin/keys/alice/rotate")
    async with gateway.client.post(url, json={}, headers=bearer(OWNER)) as response:
        key = str((await response.json())["key"])
    assert (await ask(gateway, key))[0] == 429
    await revoke_key(gateway)
    key = await make_key(gateway, limits=limits)
    assert (await own_key(gateway, key))["used"] == {"requestsPerMinute": 0, "tokensPerDay": 0}
    assert (await ask(gateway, key))[0] == 200


async def test_what_was_used_today_is_restored(gateway: Gateway, clocks: LimitClocks) -> None:
    """From the counts by key that the ledger has since midnight; of unknown keys they are ignored."""
    key = await make_key(gateway, limits={"tokensPerDay": 100})
    gateway.app[RATE_LIMITS].restore({"alice": 99, "owner": 5, "gone": 7})
    assert (await own_key(gateway, key))["left"] == {"tokensPerDay": 1}
    assert (await own_key(gateway, OWNER))["used"] == {"tokensPerDay": 5}
    bob = await make_key(gateway, "gone")
    assert (await own_key(gateway, bob))["used"] == {"tokensPerDay": 0}
    clocks.unix = day_of(clocks.unix).ends
    assert (await own_key(gateway, key))["left"] == {"tokensPerDay": 100}


async def test_keys_are_limited_apart(gateway: Gateway) -> None:
    """One that is used up is no other's loss; the owner has no limits."""
    alice = await make_key(gateway, limits={"requestsPerMinute": 1})
    bob = await make_key(gateway, "bob", limits={"requestsPerMinute": 1})
    assert [(await ask(gateway, alice))[0] for _ in range(2)] == [200, 429]
    assert (await ask(gateway, bob))[0] == 200
    assert [(await ask(gateway, OWNER))[:2] for _ in range(3)] == [(200, {})] * 3


async def test_what_the_gateway_itself_refuses_costs_nothing(gateway: Gateway) -> None:
    """A body that can't be read never gets as far as the limits."""
    key = await make_key(gateway, limits={"requestsPerMinute": 1})
    headers = bearer(key) | {"Content-Encoding": "br"}
    async with gateway.client.post(gateway.url(CHAT), data=b"x", headers=headers) as response:
        assert (response.status, rate_fields(response.headers)["remaining-requests"]) == (415, "1")
    assert (await ask(gateway, key))[0] == 200


async def test_counting_tokens_is_a_request(gateway: Gateway) -> None:
    """Of those per minute; it uses no tokens."""
    key = await make_key(gateway, limits={"requestsPerMinute": 2, "tokensPerDay": 50})
    body = {"model": LLM, "messages": MESSAGES}
    status, fields, _ = await ask(gateway, key, "/v1/messages/count_tokens", body)
    assert (status, fields["remaining-requests"], fields["remaining-tokens"]) == (200, "1", "50")
    assert (await ask(gateway, key))[0] == 200
    status, fields, body = await ask(gateway, key, "/v1/messages/count_tokens", body)
    assert (status, body["error"]["type"]) == (429, "rate_limit_error")


async def test_a_key_sees_itself(gateway: Gateway) -> None:
    """Also one without any scope, and without its secret; with HEAD too."""
    key = await make_key(gateway, scopes=[], note="For the hall", limits={"tokensPerDay": 9, "running": 2})
    shown = await own_key(gateway, key)
    assert shown["key"]["name"] == "alice"
    assert shown["key"]["scopes"] == []
    assert shown["key"]["note"] == "For the hall"
    assert shown["key"]["limits"] == {"tokensPerDay": 9, "running": 2}
    assert key not in json.dumps(shown)
    assert (shown["used"], shown["left"]) == ({"tokensPerDay": 0}, {"tokensPerDay": 9})
    url = gateway.url("/admin/keys/self")
    async with gateway.client.head(url, headers=bearer(key)) as response:
        assert (response.status, rate_fields(response.headers)["limit-tokens"]) == (200, "9")
    async with gateway.client.get(url) as response:
        assert response.status == 401


async def test_the_owner_and_anyone_see_themselves(gateway: Gateway) -> None:
    """They have every scope, no limits, and neither an id nor a beginning."""
    shown = await own_key(gateway, OWNER)
    assert shown["key"].keys() == {
        *("name", "scopes", "models", "addresses", "share", "class", "limits", "recentAddresses")
    }
    assert shown["key"]["name"] == "owner"
    assert set(shown["key"]["scopes"]) == {"inference", "tools", "models", "observe", "log", "admin"}
    assert (shown["used"], shown["left"]) == ({"tokensPerDay": 0}, {})


async def test_anyone_sees_themselves(start_gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """Without any key, everybody is `anyone`, whose tokens of the day are counted."""
    upstream.script = answer(b'{"usage": {"prompt_tokens": 3, "completion_tokens": 7}}')
    gateway = await start_gateway(upstream.base_url)
    assert (await ask(gateway, None))[:2] == (200, {})
    shown: Any = await own_key(gateway, None)
    assert (shown["key"]["name"], shown["used"]) == ("anyone", {"tokensPerDay": 10})


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_self_is_no_name_of_a_key(gateway: Gateway, method: str) -> None:
    """The path is only for looking."""
    url = gateway.url("/admin/keys/self")
    async with gateway.client.request(method, url, json={}, headers=bearer(OWNER)) as response:
        assert response.status == 404
