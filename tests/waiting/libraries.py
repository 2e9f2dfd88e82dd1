"""Client libraries of Python, each of which asks for a stream and returns its text."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anthropic
import openai
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI

KEY, MODEL, QUESTION = "the key", "qwen2.5-7b-instruct", "Hello!"
MESSAGES = [{"role": "user", "content": QUESTION}]


def _openai(url: str, key: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)


def _anthropic(url: str, key: str) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=url, api_key=key, max_retries=0)


async def openai_chat(url: str, key: str) -> str:
    async with _openai(url, key) as client:
        chunks = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks if chunk.choices])


async def openai_chat_helper(url: str, key: str) -> str:
    async with _openai(url, key) as client:
        async with client.chat.completions.stream(model=MODEL, messages=MESSAGES) as stream:
            completion = await stream.get_final_completion()
        return completion.choices[0].message.content or ""


async def openai_completions(url: str, key: str) -> str:
    async with _openai(url, key) as client:
        chunks = await client.completions.create(model=MODEL, prompt=QUESTION, stream=True)
        return "".join([chunk.choices[0].text async for chunk in chunks if chunk.choices])


async def openai_responses(url: str, key: str) -> str:
    async with _openai(url, key) as client:
        events = await client.responses.create(model=MODEL, input=QUESTION, stream=True)
        return "".join([event.delta async for event in events if event.type == "response.output_text.delta"])


async def openai_responses_helper(url: str, key: str) -> str:
    async with _openai(url, key) as client, client.responses.stream(model=MODEL, input=QUESTION) as stream:
        return (await stream.get_final_response()).output_text


async def anthropic_messages(url: str, key: str) -> str:
    async with _anthropic(url, key) as client:
        events = await client.messages.create(model=MODEL, max_tokens=50, messages=MESSAGES, stream=True)
        deltas = [event.delta async for event in events if event.type == "content_block_delta"]
        return "".join(delta.text for delta in deltas if delta.type == "text_delta")


async def anthropic_helper(url: str, key: str) -> str:
    async with (
        _anthropic(url, key) as client,
        client.messages.stream(model=MODEL, max_tokens=50, messages=MESSAGES) as stream,
    ):
        return await stream.get_final_text()


async def _langchain(model: BaseChatModel) -> str:
    return "".join([str(chunk.text) async for chunk in model.astream(QUESTION)])


async def langchain_chat(url: str, key: str) -> str:
    return await _langchain(ChatOpenAI(base_url=f"{url}/v1", api_key=key, model=MODEL, max_retries=0))


async def langchain_responses(url: str, key: str) -> str:
    model = ChatOpenAI(
        base_url=f"{url}/v1",
        api_key=key,
        model=MODEL,
        max_retries=0,
        use_responses_api=True,
    )
    return await _langchain(model)


async def langchain_anthropic(url: str, key: str) -> str:
    model = ChatAnthropic(base_url=url, api_key=key, model_name=MODEL, max_retries=0)
    return await _langchain(model)


@dataclass(frozen=True)
class Library:
    """`ask` takes the gateway's URL and a key. `errors` are the exceptions for a failure after the head."""

    path: str
    ask: Callable[[str, str], Awaitable[str]]
    errors: tuple[type[Exception], ...]


_OPENAI, _ANTHROPIC = (openai.APIError,), (anthropic.APIError,)
LIBRARIES = {
    "openai chat": Library("/v1/chat/completions", openai_chat, _OPENAI),
    "openai chat .stream()": Library("/v1/chat/completions", openai_chat_helper, _OPENAI),
    "openai completions": Library("/v1/completions", openai_completions, _OPENAI),
    "openai responses": Library("/v1/responses", openai_responses, _OPENAI),
    "openai responses .stream()": Library("/v1/responses", openai_responses_helper, _OPENAI),
    "anthropic": Library("/v1/messages", anthropic_messages, _ANTHROPIC),
    "anthropic .stream()": Library("/v1/messages", anthropic_helper, _ANTHROPIC),
    "langchain chat": Library("/v1/chat/completions", langchain_chat, _OPENAI),
    "langchain responses": Library("/v1/responses", langchain_responses, _OPENAI),
    "langchain anthropic": Library("/v1/messages", langchain_anthropic, _ANTHROPIC),
}
