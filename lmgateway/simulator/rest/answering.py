"""The common part of all inference endpoints: resolve the model, generate, respond or stream."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from ..engine.generation import Generation
from ..engine.prompt import Prompt
from ..keys import STUDIO
from .bodies import InferenceBody, Json
from .express import json_response
from .sse import EventStream, event_stream

Whole = Callable[[Generation], Json]
"""The answer to a finished generation."""

Stream = Callable[[EventStream, Generation], Awaitable[None]]
"""Runs the generation and sends its events, from the first to the last."""


async def answer(
    request: web.Request, body: InferenceBody, prompt: Prompt, api: str, whole: Whole, stream: Stream
) -> web.StreamResponse:
    """Fails before a stream begins if the model can't be loaded."""
    studio = request.app[STUDIO]
    instance = await studio.instance_for(body.model, "llm", body.ttl)
    if body.stream:
        async with event_stream(request) as events:
            with studio.generate(instance, prompt, api, stream=True) as generation:
                await generation.read_prompt()
                await stream(events, generation)
        return events.response
    with studio.generate(instance, prompt, api) as generation:
        await generation.run()
    document = whole(generation)
    studio.log_answer(instance, api, document)
    return json_response(document)
