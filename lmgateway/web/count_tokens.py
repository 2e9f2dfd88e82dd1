"""Answers `POST /v1/messages/count_tokens`, which LM Studio doesn't have, by means of its SDK."""

from __future__ import annotations

from aiohttp import web

from ..access.globs import Globs
from ..boxes.box import Box
from ..errors import (
    DO_NOT_RETRY,
    ModelNotFound,
    ModelNotLoaded,
    StudioFailed,
    UpstreamSilent,
    UpstreamUnavailable,
)
from ..schema.tokens import CountedTokens
from ..traffic import anthropic_prompt
from ..traffic.anthropic_prompt import Conversation
from .choosing import choose_model
from .context import RequestContext
from .held_bodies import HeldBody
from .request_bodies import Upload
from .responses import json_response
from .state import ACTIVE_MODELS, ACTIVITY, CONTEXT, HELD_BODIES, RATE_LIMITS, TURNS

PATH = "/v1/messages/count_tokens"


async def count_tokens(request: web.Request) -> web.Response:
    app, context = request.app, request[CONTEXT]
    exchange = context.exchange(route=PATH, generates=False)
    with (
        app[ACTIVITY].exchange(exchange, context.rules.config.limits),
        HeldBody(app[HELD_BODIES], context.client, context.rules.config) as held,
    ):
        conversation = await read(request, context, held)
        active, caller = app[ACTIVE_MODELS].current.of("llm"), context.caller
        chosen = await choose_model(conversation.model or None, "llm", caller, context.rules, active)
        model = chosen.name
        exchange.resolved(model, stream=False)
        app[ACTIVITY].announce(exchange)
        app[RATE_LIMITS].admit(exchange.key)
        boxes = context.rules.boxes
        box = boxes.first_up if model is None else boxes.with_model(model)
        box.used()
        exchange.sent_to(box.name)
        try:
            counted = await count(conversation, model, box, caller.models)
        except ModelNotLoaded:
            exchange.not_sent()
            raise
        exchange.answered(200, stream=False, count=None)
        return json_response(CountedTokens(input_tokens=counted))


async def read(request: web.Request, context: RequestContext, held: HeldBody) -> Conversation:
    """Raises as Upload.read and anthropic_prompt.parse."""
    upload = Upload(request, context.rules.config.proxy.max_body_bytes)
    body = await upload.read(held, context.head.content_coding)
    await request.app[TURNS].next()
    return anthropic_prompt.parse(body)


async def count(conversation: Conversation, model: str | None, box: Box, allowed: Globs) -> int:
    """Return the prompt's tokens. Raises ModelNotLoaded, after which clients estimate, and StudioFailed."""
    if model is None:
        raise ModelNotLoaded("The request names no model, and none is active.")
    if not box.is_up:
        raise ModelNotLoaded("Tokens can't be counted: LM Studio doesn't answer, and isn't woken up for it.")
    try:
        # One attempt: the client waits, and can do without.
        loaded = [each for each in await box.sdk.loaded(attempts=1) if each.kind == "llm"]
        instance = next((each for each in loaded if each.identifier == model), None) or next(
            (each for each in loaded if model in {each.model_key, each.path}), None
        )
        if instance is None or not allowed.allow(instance.model_key):
            raise ModelNotLoaded(f"The model {model} isn't loaded, and counting tokens doesn't load it.")
        return await box.sdk.count_prompt(instance.identifier, conversation.history, conversation.tools)
    except ModelNotFound as exc:
        raise ModelNotLoaded(f"The model {model} was unloaded meanwhile.") from exc
    except (UpstreamUnavailable, UpstreamSilent) as exc:
        raise ModelNotLoaded(f"Tokens can't be counted. {exc.message}") from exc
    except StudioFailed as exc:
        raise StudioFailed(exc.message, headers=DO_NOT_RETRY) from exc
