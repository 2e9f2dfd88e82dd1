"""The client libraries people use, with nothing set but base_url and key."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from anthropic import AsyncAnthropic
from anthropic import AuthenticationError as AnthropicAuthenticationError
from anthropic import NotFoundError as AnthropicNotFoundError
from anthropic import RateLimitError as AnthropicRateLimitError
from openai import (
    AsyncOpenAI,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
)

from lmgateway.access.buckets import day_of
from lmgateway.schema.models import ActivateRequest
from lmgateway.simulator import Pace, Simulator, serve
from lmgateway.web.state import ACTIVITY, MODELS
from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.key_limits import LimitClocks
from tests.support.keys import OWNER, make_key
from tests.support.upstream import Received, ScriptedUpstream, answer

KEY = "the key"
CHAT, EMBEDDING = "qwen2.5-7b-instruct", "text-embedding-nomic-embed-text-v1.5"
VISION = "qwen2.5-vl-7b-instruct"
HELLO = [{"role": "user", "content": "Hello!"}]


@dataclass
class Clients:
    gateway: Gateway
    studio: Simulator
    openai: AsyncOpenAI
    anthropic: AsyncAnthropic


@pytest.fixture
async def clients(start_gateway: StartGateway) -> AsyncIterator[Clients]:
    """Clients of a gateway whose active models, for chat and embeddings, are loaded."""
    studio = Simulator(pace=Pace.instant())
    for model in (CHAT, EMBEDDING):
        studio.load(model)
    async with serve(studio, "127.0.0.1", 0) as port:
        gateway = await start_gateway(f"http://127.0.0.1:{port}", auth={"api_key": KEY})
        for model in (CHAT, EMBEDDING):
            await gateway.app[MODELS].activate(ActivateRequest(model_key=model))
        openai = AsyncOpenAI(base_url=f"{gateway.base_url}/v1", api_key=KEY, max_retries=0)
        anthropic = AsyncAnthropic(base_url=gateway.base_url, api_key=KEY, max_retries=0)
        async with openai, anthropic:
            yield Clients(gateway, studio, openai, anthropic)


async def test_openai_chat(clients: Clients) -> None:
    """Without naming a model, the active one answers."""
    completion = await clients.openai.chat.completions.create(model="", messages=HELLO)
    assert completion.model == CHAT
    assert "simulated" in (completion.choices[0].message.content or "")


async def test_openai_stream(clients: Clients) -> None:
    """A stream arrives as the library expects it, with the usage it asked for."""
    stream = await clients.openai.chat.completions.create(
        model="", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "simulated" in text
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == clients.studio.ledger.total.completion_tokens


async def test_openai_responses(clients: Clients) -> None:
    """The newer API, too, plain and as a stream."""
    response = await clients.openai.responses.create(model="", input="Hello!")
    assert "simulated" in response.output_text
    events = [
        event async for event in await clients.openai.responses.create(model="", input="Hello!", stream=True)
    ]
    assert events[-1].type == "response.completed"


async def test_openai_embeddings(clients: Clients) -> None:
    """The active embedding model answers, never the chat model."""
    answer = await clients.openai.embeddings.create(model="", input=["one", "two"])
    assert answer.model == EMBEDDING
    assert [len(item.embedding) for item in answer.data] == [768, 768]


async def test_openai_models(clients: Clients) -> None:
    """The list is LM Studio's."""
    assert {CHAT, EMBEDDING} <= {model.id async for model in clients.openai.models.list()}


async def test_openai_errors(clients: Clients) -> None:
    """LM Studio's errors and the gateway's own are both the library's exceptions."""
    with pytest.raises(BadRequestError) as refused:
        await clients.openai.chat.completions.create(
            model=CHAT, messages=HELLO, response_format={"type": "xml"}
        )
    assert "must be 'json_schema' or 'text'" in refused.value.response.text
    with pytest.raises(NotFoundError, match="has no model no-such-model"):
        await clients.openai.chat.completions.create(model="no-such-model", messages=HELLO)
    with pytest.raises(AuthenticationError, match="lmgateway keys add NAME"):
        await clients.openai.with_options(api_key="wrong").models.list()


async def test_anthropic_messages(clients: Clients) -> None:
    """Anthropic's library, plain and as a stream, with the key in its own header."""
    message = await clients.anthropic.messages.create(model="", max_tokens=200, messages=HELLO)
    assert message.model == CHAT
    async with clients.anthropic.messages.stream(model="", max_tokens=200, messages=HELLO) as stream:
        assert "simulated" in await stream.get_final_text()


async def test_anthropic_counts_tokens(clients: Clients) -> None:
    """And its exception for a model that isn't loaded is the one that clients handle."""
    count = await clients.anthropic.messages.count_tokens(model="", messages=HELLO)
    assert count.input_tokens > 0
    with pytest.raises(AnthropicNotFoundError):
        await clients.anthropic.messages.count_tokens(model="llama-3.2-3b-instruct", messages=HELLO)


async def test_anthropic_errors(clients: Clients) -> None:
    """A wrong key is the library's own exception, by either header."""
    for options in ({"api_key": "wrong"}, {"api_key": None, "auth_token": "wrong"}):
        client = clients.anthropic.with_options(**options)
        with pytest.raises(AnthropicAuthenticationError):
            await client.messages.create(model="", max_tokens=1, messages=HELLO)


async def test_anthropic_bearer(clients: Clients) -> None:
    """Newer set-ups of Anthropic's clients send Authorization."""
    client = AsyncAnthropic(base_url=clients.gateway.base_url, auth_token=KEY, max_retries=0)
    async with client:
        message = await client.messages.create(model="", max_tokens=5, messages=HELLO)
    assert message.usage.output_tokens == 5


async def test_large_image(clients: Clients) -> None:
    """A 20 MB photograph in a chat request passes."""
    picture = base64.b64encode(bytes(range(256)) * (15 * 4096)).decode()
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}},
    ]
    assert len(picture) > 20_000_000
    completion = await clients.openai.chat.completions.create(
        model=VISION, messages=[{"role": "user", "content": content}]
    )
    assert completion.model == VISION


async def test_openai_begins_one_generation(start_gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """A model that takes longer than the gateway waits isn't asked for the same thing three times."""

    async def never(_request: Received, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    upstream.script = never
    gateway = await start_gateway(upstream.base_url, proxy={"timeout_ms": 100})
    async with AsyncOpenAI(base_url=f"{gateway.base_url}/v1", api_key="any") as openai:
        assert openai.max_retries == 2
        with pytest.raises(InternalServerError) as caught:
            await openai.chat.completions.create(model=CHAT, messages=HELLO)
    assert caught.value.status_code == 504
    assert len(upstream.received) == 1


async def test_a_limit_is_the_libraries_own_error(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """With the header fields from which programs learn how long to wait."""
    gateway = await start_gateway(upstream.base_url, auth={"api_key": OWNER})
    key = await make_key(gateway, limits={"requestsPerMinute": 1})
    openai = AsyncOpenAI(base_url=f"{gateway.base_url}/v1", api_key=key, max_retries=0)
    anthropic = AsyncAnthropic(base_url=gateway.base_url, api_key=key, max_retries=0)
    async with openai, anthropic:
        response = await openai.chat.completions.with_raw_response.create(model=CHAT, messages=HELLO)
        assert response.headers["x-ratelimit-remaining-requests"] == "0"
        with pytest.raises(RateLimitError, match="1 requests per minute") as caught:
            await openai.chat.completions.create(model=CHAT, messages=HELLO)
        headers = caught.value.response.headers
        assert (caught.value.code, headers["x-ratelimit-limit-requests"]) == ("rate_limit_exceeded", "1")
        assert 1 <= int(headers["retry-after"]) <= 60
        with pytest.raises(AnthropicRateLimitError, match="1 requests per minute") as refused:
            await anthropic.messages.create(model=CHAT, max_tokens=1, messages=HELLO)
        assert refused.value.response.headers["x-refused-reason"] == "rate_limit_exceeded"
    assert len(upstream.received) == 1


@pytest.mark.parametrize("library", ["openai", "anthropic"])
async def test_no_library_retries_a_limit_of_the_day(
    start_gateway: StartGateway, upstream: ScriptedUpstream, library: str
) -> None:
    """Also not shortly before midnight, when Retry-After is a time that it would sleep for."""
    upstream.script = answer(b'{"usage": {"prompt_tokens": 3, "completion_tokens": 7}}')
    gateway = await start_gateway(upstream.base_url, auth={"api_key": OWNER})
    key = await make_key(gateway, limits={"tokensPerDay": 10})
    asked = []
    gateway.app[ACTIVITY].add_consumer(asked.append)
    with pytest.MonkeyPatch.context() as patch:
        clocks = LimitClocks(patch)
        clocks.unix = day_of(clocks.unix).ends - 5
        if library == "openai":
            openai = AsyncOpenAI(base_url=f"{gateway.base_url}/v1", api_key=key)
            async with openai:
                await openai.chat.completions.create(model=CHAT, messages=HELLO)
                with pytest.raises(RateLimitError) as caught:
                    await openai.chat.completions.create(model=CHAT, messages=HELLO)
        else:
            anthropic = AsyncAnthropic(base_url=gateway.base_url, api_key=key)
            async with anthropic:
                await anthropic.messages.create(model=CHAT, max_tokens=1, messages=HELLO)
                with pytest.raises(AnthropicRateLimitError) as caught:
                    await anthropic.messages.create(model=CHAT, max_tokens=1, messages=HELLO)
    assert caught.value.response.headers["retry-after"] == "5"
    gateway.app[ACTIVITY].flush()
    assert [record.status for record in asked] == [200, 429]
