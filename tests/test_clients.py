"""The client libraries people use, with nothing set but base_url and key."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from anthropic import AsyncAnthropic
from anthropic import AuthenticationError as AnthropicAuthenticationError
from openai import AsyncOpenAI, AuthenticationError, InternalServerError, NotFoundError

from lmgateway.simulator import Pace, Simulator, serve
from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.upstream import Received, ScriptedUpstream, answer

KEY = "the key"
CHAT, EMBEDDING = "qwen2.5-7b-instruct", "text-embedding-nomic-embed-text-v1.5"
VISION = "qwen2.5-vl-7b-instruct"
HELLO = [{"role": "user", "content": "Hello!"}]


@dataclass
class Home:
    gateway: Gateway
    studio: Simulator
    openai: AsyncOpenAI
    anthropic: AsyncAnthropic


@pytest.fixture
async def home(start_gateway: StartGateway) -> AsyncIterator[Home]:
    """A household: LM Studio with two models loaded, the gateway with both active, and its clients."""
    studio = Simulator(pace=Pace.instant())
    for model in (CHAT, EMBEDDING):
        studio.load(model)
    async with serve(studio, "127.0.0.1", 0) as port:
        gateway = await start_gateway(f"http://127.0.0.1:{port}", auth={"api_key": KEY})
        for kind, model in (("llm", CHAT), ("embedding", EMBEDDING)):
            async with gateway.client.post(
                gateway.url("/admin/models/activate"),
                json={"modelKey": model, "type": kind},
                headers={"Authorization": f"Bearer {KEY}"},
            ) as response:
                assert response.status == 200
        openai = AsyncOpenAI(base_url=f"{gateway.base_url}/v1", api_key=KEY, max_retries=0)
        anthropic = AsyncAnthropic(base_url=gateway.base_url, api_key=KEY, max_retries=0)
        async with openai, anthropic:
            yield Home(gateway, studio, openai, anthropic)


async def test_openai_chat(home: Home) -> None:
    """Without naming a model, the active one answers."""
    completion = await home.openai.chat.completions.create(model="", messages=HELLO)
    assert completion.model == CHAT
    assert "simulated" in (completion.choices[0].message.content or "")


async def test_openai_stream(home: Home) -> None:
    """A stream arrives as the library expects it, with the usage it asked for."""
    stream = await home.openai.chat.completions.create(
        model="", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "simulated" in text
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == home.studio.ledger.total.completion_tokens


async def test_openai_responses(home: Home) -> None:
    """The newer API, too, plain and as a stream."""
    response = await home.openai.responses.create(model="", input="Hello!")
    assert "simulated" in response.output_text
    events = [
        event async for event in await home.openai.responses.create(model="", input="Hello!", stream=True)
    ]
    assert events[-1].type == "response.completed"


async def test_openai_embeddings(home: Home) -> None:
    """The active embedding model answers, never the chat model."""
    answer = await home.openai.embeddings.create(model="", input=["one", "two"])
    assert answer.model == EMBEDDING
    assert [len(item.embedding) for item in answer.data] == [768, 768]


async def test_openai_models(home: Home) -> None:
    """The list is LM Studio's."""
    assert {CHAT, EMBEDDING} <= {model.id async for model in home.openai.models.list()}


async def test_openai_errors(home: Home) -> None:
    """LM Studio's errors and the gateway's own are both the library's exceptions."""
    home.studio.load("llama-3.2-3b-instruct")  # alone, the other one would answer to any name
    with pytest.raises(NotFoundError):
        await home.openai.chat.completions.create(model="no-such-model", messages=HELLO)
    with pytest.raises(AuthenticationError, match="send the gateway's key"):
        await home.openai.with_options(api_key="wrong").models.list()


async def test_anthropic_messages(home: Home) -> None:
    """Anthropic's library, plain and as a stream, with the key in its own header."""
    message = await home.anthropic.messages.create(model="", max_tokens=200, messages=HELLO)
    assert message.model == CHAT
    async with home.anthropic.messages.stream(model="", max_tokens=200, messages=HELLO) as stream:
        assert "simulated" in await stream.get_final_text()
    count = await home.anthropic.messages.count_tokens(model="", messages=HELLO)
    assert count.input_tokens > 0


async def test_anthropic_errors(home: Home) -> None:
    """A wrong key is the library's own exception, by either header."""
    for options in ({"api_key": "wrong"}, {"api_key": None, "auth_token": "wrong"}):
        client = home.anthropic.with_options(**options)
        with pytest.raises(AnthropicAuthenticationError):
            await client.messages.create(model="", max_tokens=1, messages=HELLO)


async def test_anthropic_bearer(home: Home) -> None:
    """Newer set-ups of Anthropic's clients send Authorization instead."""
    client = AsyncAnthropic(base_url=home.gateway.base_url, auth_token=KEY, max_retries=0)
    async with client:
        message = await client.messages.create(model="", max_tokens=5, messages=HELLO)
    assert message.usage.output_tokens == 5


async def test_large_image(home: Home) -> None:
    """A 20 MB photograph in a chat request passes."""
    picture = base64.b64encode(bytes(range(256)) * (15 * 4096)).decode()
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}},
    ]
    assert len(picture) > 20_000_000
    completion = await home.openai.chat.completions.create(
        model=VISION, messages=[{"role": "user", "content": content}]
    )
    assert completion.model == VISION


async def test_audio_upload(start_gateway: StartGateway, upstream: ScriptedUpstream) -> None:
    """A multipart upload arrives with its boundary, byte for byte."""
    sound = bytes(range(256)) * 4096
    upstream.script = answer(b'{"text":"heard"}')
    gateway = await start_gateway(upstream.base_url, auth={"api_key": KEY})
    async with AsyncOpenAI(base_url=f"{gateway.base_url}/v1", api_key=KEY, max_retries=0) as openai:
        heard = await openai.audio.transcriptions.create(model="whisper", file=("sound.wav", sound))
    assert heard.text == "heard"
    boundary = (upstream.last.one("Content-Type") or "").partition("boundary=")[2].encode()
    assert upstream.last.target == "/v1/audio/transcriptions"
    assert upstream.last.body.count(b"--" + boundary) == 3
    assert sound in upstream.last.body


async def test_default_parameters_fill_what_is_left_out(home: Home) -> None:
    """The active model's parameters count only where the client named none."""
    body = {"modelKey": CHAT, "defaultInference": {"maxTokens": 3}}
    async with home.gateway.client.post(
        home.gateway.url("/admin/models/activate"), json=body, headers={"X-API-Key": KEY}
    ) as response:
        assert (await response.json())["defaultInference"] == {"maxTokens": 3}
    short = await home.openai.chat.completions.create(model="", messages=HELLO)
    longer = await home.openai.chat.completions.create(model="", messages=HELLO, max_completion_tokens=7)
    assert short.usage is not None
    assert longer.usage is not None
    assert (short.usage.completion_tokens, longer.usage.completion_tokens) == (3, 7)


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
