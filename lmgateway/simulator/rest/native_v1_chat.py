"""`POST /api/v1/chat`. Stateless: a response has an id, but `previous_response_id` has no effect."""

import asyncio
import secrets

from aiohttp import web

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
    store: bool | None = True

    def as_prompt(self) -> Prompt:
        transcript = Transcript()
        if self.system_prompt:
            transcript.add("system", self.system_prompt)
        parts = [self.input] if isinstance(self.input, str) else [_part(item) for item in self.input]
        transcript.add("user", parts)
        return transcript.prompt(self.sampling(), Limits(self.max_output_tokens))


async def chat(request: web.Request) -> web.StreamResponse:
    studio = request.app[STUDIO]
    body = await read_body(request, ChatBody)
    if body.stream:
        return await _stream(request, body)
    instance, load_seconds = await _instance(studio, body)
    with studio.generate(instance, body.as_prompt(), "v1/chat") as generation:
        await generation.run()
    return json_response(_result(generation, body, load_seconds))


async def _stream(request: web.Request, body: ChatBody) -> web.StreamResponse:
    """A model is loaded inside the stream if necessary, so a failed load is an event."""
    studio = request.app[STUDIO]
    target = studio.resolve(body.model, "llm")
    async with event_stream(request) as events:
        place = {"model_instance_id": target.identifier if isinstance(target, Instance) else target.model_key}
        await _send(events, "chat.start", **place)
        if not isinstance(target, Instance):
            await _send(events, "model_load.start", **place)
        instance, load_seconds = await _instance(studio, body)
        if load_seconds is not None:
            await _send(events, "model_load.progress", **place, progress=1.0)
            await _send(events, "model_load.end", **place, load_time_seconds=load_seconds)
        with studio.generate(instance, body.as_prompt(), "v1/chat") as generation:
            await _stream_generation(events, generation)
        await _send(events, "chat.end", result=_result(generation, body, load_seconds))
    return events.response


async def _stream_generation(events: EventStream, generation: Generation) -> None:
    async def show_progress(fraction: float) -> None:
        await _send(events, "prompt_processing.progress", progress=fraction)

    await _send(events, "prompt_processing.start")
    await generation.read_prompt(show_progress)
    await _send(events, "prompt_processing.end")
    await _send(events, "message.start")
    async for piece in generation:
        await _send(events, "message.delta", content=piece)
    await _send(events, "message.end")


async def _instance(studio: Studio, body: ChatBody) -> tuple[Instance, float | None]:
    """Return the instance and the seconds that loading it took, None if it was loaded already."""
    target = studio.resolve(body.model, "llm")
    if isinstance(target, Instance):
        return target, None
    began = asyncio.get_running_loop().time()
    instance = await studio.instance_for(body.model, "llm", body.ttl)
    return instance, asyncio.get_running_loop().time() - began


def _result(generation: Generation, body: ChatBody, load_seconds: float | None) -> Json:
    stats: Json = {
        "input_tokens": generation.prompt_tokens,
        "total_output_tokens": generation.completion_tokens,
        "reasoning_output_tokens": 0,
        "tokens_per_second": generation.tokens_per_second,
        "time_to_first_token_seconds": generation.seconds_to_first_token,
    }
    if load_seconds is not None:
        stats["model_load_time_seconds"] = load_seconds
    result: Json = {
        "model_instance_id": generation.instance.identifier,
        "output": [{"type": "message", "content": generation.composition.text}],
        "stats": stats,
    }
    if body.store is not False:
        result["response_id"] = f"resp_{secrets.token_hex(24)}"
    return result


def _part(item: Json) -> object:
    return item if item.get("type") == "image" else item.get("content")


async def _send(events: EventStream, event: str, **content: object) -> None:
    await events.send({"type": event, **content}, event)
