"""`POST /v1/chat/completions`, and the parts that `/api/v0` shares."""

import secrets
import time
from collections.abc import Callable, Mapping
from functools import partial

import msgspec
from aiohttp import web

from ..engine.composition import StopReason
from ..engine.generation import Generation
from ..engine.prompt import Prompt, Schema
from ..engine.transcript import Transcript, function_tools
from .answering import answer
from .bodies import CompletionBody, Json, read_body
from .sse import EventStream
from .validation import check_chat_tools, check_response_format, check_tool_choice

Extras = Callable[[Generation], Json]
"""Further keys of an answer that isn't streamed, such as the `stats` of `/api/v0`."""

FINISH_REASONS: Mapping[StopReason, str] = {
    "eosFound": "stop",
    "stopStringFound": "stop",
    "maxPredictedTokensReached": "length",
    "toolCalls": "tool_calls",
}


class ChatMessage(msgspec.Struct, frozen=True):
    role: str
    content: object = None
    tool_calls: list[object] | None = None


class ChatBody(CompletionBody, frozen=True, kw_only=True):
    messages: list[ChatMessage]
    tools: list[Json] | None = None
    tool_choice: object = None
    response_format: Json | None = None

    def as_prompt(self) -> Prompt:
        transcript = Transcript()
        for message in self.messages:
            transcript.add(message.role, message.content)
        transcript.offer(function_tools(self.tools), self.tool_choice)
        return transcript.prompt(self.sampling(), self.limits(), _answer_schema(self.response_format))


def no_extras(_: Generation) -> Json:
    return {}


async def chat_completions(request: web.Request) -> web.StreamResponse:
    return await answer_chat(request, "chat/completions")


async def answer_chat(request: web.Request, api: str, extras: Extras = no_extras) -> web.StreamResponse:
    body = await read_body(request, ChatBody)
    check_tool_choice(body.tool_choice)
    check_response_format(body.response_format)
    check_chat_tools(body.tools)
    return await answer(request, body, body.as_prompt(), api, partial(_whole, extras), partial(_stream, body))


def finish(generation: Generation) -> str:
    return FINISH_REASONS[generation.stop_reason]


def usage(generation: Generation) -> Json:
    return {
        "prompt_tokens": generation.prompt_tokens,
        "completion_tokens": generation.completion_tokens,
        "total_tokens": generation.total_tokens,
    }


def _whole(extras: Extras, generation: Generation) -> Json:
    composition = generation.composition
    message: Json = {"role": "assistant", "content": composition.text, "tool_calls": []}
    if composition.reasoning:
        message[_reasoning_field(generation)] = composition.reasoning_text
    if composition.tool_name is not None:
        message |= {"content": None, "tool_calls": [_tool_call(generation, composition.text)]}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish(generation)}
    head = _head("chat.completion", generation.instance.identifier)
    return {**head, "choices": [choice], "usage": usage(generation), **extras(generation)}


async def _stream(body: ChatBody, events: EventStream, generation: Generation) -> None:
    """Each delta has the role but the last, which is empty; a tool call's name precedes its arguments."""
    head = _head("chat.completion.chunk", generation.instance.identifier)

    async def send(delta: Mapping[str, object], finish_reason: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        await events.send({**head, "choices": [choice]})

    role = {"role": "assistant"}
    is_call = generation.composition.tool_name is not None
    async for piece in generation.reasoning:
        await send({**role, _reasoning_field(generation): piece})
    if is_call:
        await send({**role, "tool_calls": [{"index": 0, **_tool_call(generation, "")}]})
    async for piece in generation.answer:
        if not is_call:
            await send({**role, "content": piece})
            continue
        await send({**role, "tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
    await send({}, finish(generation))
    if body.wants_usage_chunk():
        await events.send({**head, "choices": [], "usage": usage(generation)})
    await events.send_done()


def _head(kind: str, model: str) -> Json:
    return {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": model,
    }


def _reasoning_field(generation: Generation) -> str:
    """Thoughts have OpenAI's name for its own model, and DeepSeek's for all others."""
    return "reasoning" if generation.instance.model.architecture == "gpt-oss" else "reasoning_content"


def _tool_call(generation: Generation, arguments: str) -> Json:
    composition = generation.composition
    return {
        "id": composition.tool_call_id,
        "type": "function",
        "function": {"name": composition.tool_name, "arguments": arguments},
    }


def _answer_schema(response_format: Json | None) -> Schema | None:
    match response_format:
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
            return schema
    return None
