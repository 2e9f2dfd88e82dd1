"""What apps ask a model: streams and plain answers to their end, and some that are abandoned."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from typing import Any

import aiohttp
from msgspec import Struct

from .client import CHAT_MODELS, EMBEDDING_MODEL, HEADERS, Broke, Client, Unexpected, expect

# Some seconds' worth of a prompt: time enough to leave before the first token.
LONG_PROMPT_WORDS = 1500


class Api(Struct, frozen=True):
    """How one of the APIs is asked, and how one of its streams ends."""

    path: str
    limit: str
    end: str
    tells_usage: bool = False

    def body(self, text: str, **more: object) -> dict[str, object]:
        if self.path == "/v1/completions":
            return {"prompt": text, **more}
        if self.path == "/v1/responses":
            return {"input": text, **more}
        return {"messages": [{"role": "user", "content": text}], **more}


APIS = (
    Api("/v1/chat/completions", "max_tokens", "data: [DONE]", tells_usage=True),
    Api("/v1/completions", "max_tokens", "data: [DONE]", tells_usage=True),
    Api("/v1/messages", "max_tokens", "event: message_stop"),
    Api("/v1/responses", "max_output_tokens", "event: response."),
)
USAGE_CHUNK = '"choices":[]'


def question(client: Client, api: Api, words: int, **more: object) -> dict[str, Any]:
    """A question about as many words, half of the time to whichever model is active."""
    choose = client.random
    model = {"model": choose.choice(CHAT_MODELS)} if choose.random() < 0.5 else {}
    limit = {api.limit: choose.randint(5, 60)} if choose.random() < 0.5 else {}
    return api.body(f"{choose.random()}: {words} words", **model, **limit, **more)


async def read_stream(client: Client) -> str:
    api = client.random.choice(APIS)
    asks_usage = api.tells_usage and client.random.random() < 0.3
    body = question(client, api, client.random.randint(5, 80), stream=True)
    if asks_usage:
        body["stream_options"] = {"include_usage": True}
    async with client.request("POST", api.path, json=body) as answer:
        await expect(answer)
        text = await answer.text()
    if api.end not in text[-3000:]:
        raise Unexpected(f"a stream of {api.path} ended cleanly without its end: …{text[-200:]!r}")
    if (USAGE_CHUNK in text) != asks_usage:
        raise Unexpected(f"usage was sent against the request's options: …{text[-500:]!r}")
    return f"complete, {api.path}"


async def read_plain(client: Client) -> str:
    api = client.random.choice(APIS)
    body = question(client, api, client.random.randint(5, 40), stream=False)
    content = await client.ask("POST", api.path, json=body)
    if "usage" not in content:
        raise Unexpected(f"no usage in an answer of {api.path}: {content}")
    return f"complete, {api.path}"


async def embed(client: Client) -> str:
    texts = ["a text to embed"] * client.random.randint(1, 20)
    model = {"model": EMBEDDING_MODEL} if client.random.random() < 0.5 else {}
    content = await client.ask("POST", "/v1/embeddings", json={"input": texts, **model})
    if len(content["data"]) != len(texts):
        raise Unexpected(f"{len(texts)} texts, {len(content['data'])} embeddings")
    return "complete"


async def leave_before_first_token(client: Client) -> str:
    api = client.random.choice(APIS)
    prompt = f"{client.random.random()} " + "word " * LONG_PROMPT_WORDS
    body = api.body(prompt, stream=client.random.random() < 0.5)
    with suppress(TimeoutError):
        async with (
            asyncio.timeout(client.random.uniform(0, 0.5)),
            client.request("POST", api.path, json=body) as answer,
        ):
            await expect(answer)
            await answer.read()
    return "left"


async def leave_in_the_middle(client: Client) -> str:
    api = client.random.choice(APIS)
    body = api.body(f"{client.random.random()}: 300 words", stream=True, **{api.limit: 500})
    async with client.request("POST", api.path, json=body) as answer:
        await expect(answer)
        for _ in range(client.random.randint(1, 30)):
            if not await answer.content.readany():
                raise Unexpected("a stream of hundreds of tokens ended cleanly after a few")
    return "left"


async def be_cancelled(client: Client) -> str:
    """An admin ends the stream: its client must see it break."""
    request_id = f"soak-{secrets.token_hex(8)}"
    body = APIS[0].body("300 words", stream=True, max_tokens=500)
    headers = {**HEADERS, "X-Request-Id": request_id}
    async with client.request("POST", APIS[0].path, json=body, headers=headers) as answer:
        await expect(answer)
        await answer.content.readany()
        async with client.request("DELETE", f"/debug/requests/{request_id}") as cancelled:
            if cancelled.status == 404:
                raise Broke("the stream was gone before it could be cancelled")
            await expect(cancelled)
        try:
            await answer.read()
        except aiohttp.ClientPayloadError:
            return "cancelled"
        raise Unexpected("a cancelled stream ended cleanly")
