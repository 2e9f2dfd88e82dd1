"""`POST /api/v1/chat`, which continues the conversation of its `previous_response_id`."""

import asyncio
import secrets
from typing import Literal

import msgspec
from aiohttp import web

from ..engine.conversations import Turn
from ..engine.generation import Generation
from ..engine.instance import Instance
from ..engine.prompt import Limits, Prompt
from ..engine.studio import Studio
from ..engine.transcript import Transcript
from ..keys import STUDIO
from .bodies import InferenceBody, Json, read_body
from .express import json_response
from .sse import EventStream, event_stream


class ChatBody(InferenceBody, frozen=True, kw_only=True):
    """`input` items are `{"type":"message"|"text","content"}` or `{"type":"image","data_url"}`."""

    input: str | list[Json]
    system_prompt: str | None = None
    max_output_tokens: int | None = None
    reasoning: Literal["off", "low", "medium", "high", "on"] | None = None
    previous_response_id: str | None = None
    store: bool | None = True

    def turn(self) -> Turn:
        parts = [self.input] if isinstance(self.input, str) else [_part(item) for item in self.input]
        return Turn("user", parts)

    def as_prompt(self, earlier: tuple[Turn, ...]) -> Prompt:
        transcript = Transcript()
        if self.system_prompt:
            transcript.add("system", self.system_prompt)
        for turn in (*earlier, self.turn()):
            transcript.add(turn.role, turn.content)
        prompt = transcript.prompt(self.sampling(), Limits(self.max_output_tokens))
        return msgspec.structs.replace(prompt, reasons=self.reasoning != "off")


async def chat(request: web.Request) -> web.StreamResponse:
    body = await read_body(request, ChatBody)
    answering = _Chat(request.app[STUDIO], body)
    if body.stream:
        return await answering.stream(request)
    return json_response(await answering.whole())


class _Chat:
    """One request; raises UnknownResponse if it continues no stored answer."""

    def __init__(self, studio: Studio, body: ChatBody) -> None:
        self._studio = studio
        self._body = body
        self._earlier = studio.conversations.recall(body.previous_response_id)
        self._prompt = body.as_prompt(self._earlier)
        self._load_seconds: float | None = None
        """None if the model was loaded already."""

    async def whole(self) -> Json:
        instance = await self._instance()
        with self._studio.generate(instance, self._prompt, "v1/chat") as generation:
            await generation.run()
        result = self._result(generation)
        self._studio.log_answer(instance, "v1/chat", result)
        return result

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """A model is loaded inside the stream if necessary, so a failed load is an event."""
        target = self._studio.resolve(self._body.model, "llm")
        async with event_stream(request) as events:
            name = target.identifier if isinstance(target, Instance) else target.model_key
            place = {"model_instance_id": name}
            await _send(events, "chat.start", **place)
            if not isinstance(target, Instance):
                await _send(events, "model_load.start", **place)
            instance = await self._instance()
            if self._load_seconds is not None:
                await _send(events, "model_load.progress", **place, progress=1.0)
                await _send(events, "model_load.end", **place, load_time_seconds=self._load_seconds)
            with self._studio.generate(instance, self._prompt, "v1/chat", stream=True) as generation:
                await _stream_generation(events, generation)
            await _send(events, "chat.end", result=self._result(generation))
        return events.response

    async def _instance(self) -> Instance:
        target = self._studio.resolve(self._body.model, "llm")
        if isinstance(target, Instance):
            return target
        began = asyncio.get_running_loop().time()
        instance = await self._studio.instance_for(self._body.model, "llm", self._body.ttl)
        self._load_seconds = asyncio.get_running_loop().time() - began
        return instance

    def _result(self, generation: Generation) -> Json:
        """Return the complete answer, which is stored unless the request forbids it."""
        text = generation.composition.text
        output = [{"type": "message", "content": text}]
        if generation.composition.reasoning:
            output.insert(0, {"type": "reasoning", "content": generation.composition.reasoning_text})
        stats: Json = {
            "input_tokens": generation.prompt_tokens,
            "total_output_tokens": generation.completion_tokens,
            "reasoning_output_tokens": generation.reasoning_tokens,
            "tokens_per_second": generation.tokens_per_second,
            "time_to_first_token_seconds": generation.seconds_to_first_token,
        }
        if self._load_seconds is not None:
            stats["model_load_time_seconds"] = self._load_seconds
        result: Json = {
            "model_instance_id": generation.instance.identifier,
            "output": output,
            "stats": stats,
        }
        if self._body.store is not False:
            response_id = result["response_id"] = f"resp_{secrets.token_hex(24)}"
            turns = (*self._earlier, self._body.turn(), Turn("assistant", text))
            self._studio.conversations.store(response_id, turns)
        return result


async def _stream_generation(events: EventStream, generation: Generation) -> None:
    async def show_progress(fraction: float) -> None:
        await _send(events, "prompt_processing.progress", progress=fraction)

    await _send(events, "prompt_processing.start")
    await generation.read_prompt(show_progress)
    await _send(events, "prompt_processing.end")
    if generation.composition.reasoning:
        await _send(events, "reasoning.start")
        async for piece in generation.reasoning:
            await _send(events, "reasoning.delta", content=piece)
        await _send(events, "reasoning.end")
    await _send(events, "message.start")
    async for piece in generation.answer:
        await _send(events, "message.delta", content=piece)
    await _send(events, "message.end")


def _part(item: Json) -> object:
    return item if item.get("type") == "image" else item.get("content")


async def _send(events: EventStream, event: str, **content: object) -> None:
    await events.send({"type": event, **content}, event)
