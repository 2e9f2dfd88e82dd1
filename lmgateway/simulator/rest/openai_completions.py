"""`POST /v1/completions`: a prompt is continued."""

import secrets
import time
from functools import partial

from aiohttp import web

from ..engine.generation import Generation
from ..engine.prompt import Prompt
from .answering import answer
from .bodies import CompletionBody, Json, as_strings, read_body
from .openai_chat import Extras, finish, no_extras, usage
from .sse import EventStream


class CompletionsBody(CompletionBody, frozen=True, kw_only=True):
    prompt: str | list[str]

    def as_prompt(self) -> Prompt:
        text = "\n".join(as_strings(self.prompt))
        return Prompt(text=text, reasons=False, limits=self.limits(), sampling=self.sampling())


async def completions(request: web.Request) -> web.StreamResponse:
    return await answer_completion(request, "completions")


async def answer_completion(request: web.Request, api: str, extras: Extras = no_extras) -> web.StreamResponse:
    body = await read_body(request, CompletionsBody)
    return await answer(request, body, body.as_prompt(), api, partial(_whole, extras), partial(_stream, body))


def _whole(extras: Extras, generation: Generation) -> Json:
    choice = _choice(generation.composition.text, finish(generation))
    head = _head(generation.instance.identifier)
    return {**head, "choices": [choice], "usage": usage(generation), **extras(generation)}


async def _stream(body: CompletionsBody, events: EventStream, generation: Generation) -> None:
    head = _head(generation.instance.identifier)
    async for piece in generation.answer:
        await events.send({**head, "choices": [_choice(piece, None)]})
    await events.send({**head, "choices": [_choice("", finish(generation))]})
    if body.wants_usage_chunk():
        await events.send({**head, "choices": [], "usage": usage(generation)})
    await events.send_done()


def _choice(text: str, finish_reason: str | None) -> Json:
    return {"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason}


def _head(model: str) -> Json:
    """Chunks of a stream have the same `object` as a complete response."""
    return {
        "id": f"cmpl-{secrets.token_hex(12)}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": model,
    }
