"""`POST /v1/messages`: Anthropic's API, without its `count_tokens`."""

import secrets
from collections.abc import Callable, Mapping
from functools import partial

import msgspec
from aiohttp import web

from ..engine.composition import StopReason
from ..engine.generation import Generation, Pieces
from ..engine.prompt import Limits, Prompt
from ..engine.transcript import Transcript, function_tools
from .answering import answer
from .bodies import InferenceBody, Json, read_body
from .sse import EventStream

STOP_REASONS: Mapping[StopReason, str] = {
    "eosFound": "end_turn",
    "stopStringFound": "stop_sequence",
    "maxPredictedTokensReached": "max_tokens",
    "toolCalls": "tool_use",
}


class Turn(msgspec.Struct, frozen=True):
    role: str
    content: str | list[Json]


class MessagesBody(InferenceBody, frozen=True, kw_only=True):
    messages: list[Turn]
    system: str | list[Json] | None = None
    max_tokens: int | None = None
    stop_sequences: list[str] | None = None
    tools: list[Json] | None = None
    tool_choice: object = None

    def as_prompt(self) -> Prompt:
        transcript = Transcript()
        if self.system:
            transcript.add("system", self.system)
        for turn in self.messages:
            transcript.add(turn.role, turn.content)
        transcript.offer(function_tools(self.tools), self.tool_choice)
        return transcript.prompt(self.sampling(), Limits(self.max_tokens, tuple(self.stop_sequences or ())))


async def messages(request: web.Request) -> web.StreamResponse:
    body = await read_body(request, MessagesBody)
    return await answer(request, body, body.as_prompt(), "messages", _whole, _stream)


def _whole(generation: Generation) -> Json:
    blocks = [_block(generation)]
    if generation.composition.reasoning:
        blocks.insert(0, _thinking(generation.composition.reasoning_text))
    message = _message(generation, blocks)
    return {**message, **_ending(generation), "usage": _usage(generation)}


async def _stream(events: EventStream, generation: Generation) -> None:
    """An event's name is repeated in its data as `type`. Thoughts are the first content block."""

    async def send(event: str, **content: object) -> None:
        await events.send({"type": event, **content}, event)

    async def send_block(index: int, empty: Json, pieces: Pieces, delta: Callable[[str], Json]) -> None:
        await send("content_block_start", index=index, content_block=empty)
        if index == 0:
            await send("ping")
        async for piece in pieces:
            await send("content_block_delta", index=index, delta=delta(piece))
        await send("content_block_stop", index=index)

    opening = {
        **_message(generation, []),
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _usage(generation),
    }
    await send("message_start", message=opening)
    thinks = bool(generation.composition.reasoning)
    if thinks:
        await send_block(0, _thinking(""), generation.reasoning, _thinking_delta)
    await send_block(
        1 if thinks else 0, _empty_block(generation), generation.answer, partial(_delta, generation)
    )
    await send("message_delta", delta=_ending(generation), usage=_usage(generation))
    await send("message_stop")


def _message(generation: Generation, content: list[Json]) -> Json:
    return {
        "id": f"msg_{secrets.token_hex(12)}",
        "type": "message",
        "role": "assistant",
        "model": generation.instance.identifier,
        "content": content,
    }


def _thinking(text: str) -> Json:
    """Anthropic's shape requires a signature; LM Studio's isn't known."""
    return {"type": "thinking", "thinking": text, "signature": ""}


def _block(generation: Generation) -> Json:
    composition = generation.composition
    if composition.tool_name is None:
        return {"type": "text", "text": composition.text}
    return {**_empty_block(generation), "input": _arguments(composition.text)}


def _empty_block(generation: Generation) -> Json:
    composition = generation.composition
    if composition.tool_name is None:
        return {"type": "text", "text": ""}
    return {
        "type": "tool_use",
        "id": f"toolu_{composition.tool_call_id}",
        "name": composition.tool_name,
        "input": {},
    }


def _delta(generation: Generation, piece: str) -> Json:
    if generation.composition.tool_name is None:
        return {"type": "text_delta", "text": piece}
    return {"type": "input_json_delta", "partial_json": piece}


def _thinking_delta(piece: str) -> Json:
    return {"type": "thinking_delta", "thinking": piece}


def _arguments(text: str) -> object:
    """Return {} for arguments that max_tokens cut off, which aren't JSON."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return {}


def _ending(generation: Generation) -> Json:
    return {
        "stop_reason": STOP_REASONS[generation.stop_reason],
        "stop_sequence": generation.composition.stop_string,
    }


def _usage(generation: Generation) -> Json:
    return {"input_tokens": generation.prompt_tokens, "output_tokens": generation.completion_tokens}
