"""Answers requests for lists of models where there are several boxes, or one that may sleep."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import msgspec
from aiohttp import web

from ..boxes.box import Box
from ..boxes.box_set import BoxSet
from ..errors import GatewayError, UpstreamUnavailable
from ..traffic.model_lists import LISTS, filtered, merged
from ..traffic.target import Target
from .model_lists import allows_by_name
from .state import ACTIVITY, CONTEXT

OLDER_PATH = "/api/v0/models"
SECONDS = 5.0


def joins(method: str, target: Target, boxes: BoxSet) -> bool:
    """True if the answer to a request is made of what several boxes list, or of what one has listed last."""
    return boxes.is_watched and method in {"GET", "HEAD"} and target.path in LISTS


async def list_models(request: web.Request, target: Target) -> web.Response:
    """Return the union of the boxes' lists; of a box that is left alone, what it has listed last."""
    app, context = request.app, request[CONTEXT]
    rules, caller = context.rules, context.caller
    exchange = context.exchange(route=target.path, generates=False)
    with app[ACTIVITY].exchange(exchange, rules.config.limits):
        app[ACTIVITY].announce(exchange)
        listing = await rules.models.fresh_models()
        bodies = await asyncio.gather(*(_list_of(box, target.path) for box in rules.boxes))
        body = merged(target.path, [one for one in bodies if one])
        if body is not None and not caller.models.allow_all:
            body = filtered(target.path, body, allows_by_name(target.path, caller, listing))
        if body is None:
            raise UpstreamUnavailable("No LM Studio's list of models can be read.")
        exchange.answered(200, stream=False, count=None)
        return web.Response(body=body, content_type="application/json", charset="utf-8")


async def _list_of(box: Box, path: str) -> bytes:
    """Return a box's list, b"" if it has none that can be read."""
    if path != OLDER_PATH:
        return box.catalogue.bodies.get(path, b"")
    if not box.is_left_alone:
        with suppress(TimeoutError, GatewayError):
            async with asyncio.timeout(SECONDS):
                return await box.get(path)
    return _older(box)


def _older(box: Box) -> bytes:
    """Return a list in the older form of what a box has listed last: only another form of it is kept."""
    models = {model.key: model for model in box.catalogue.listing.models.values()}
    entries = [
        {"id": key, "object": "model", "type": model.type or "llm", "state": "not-loaded"}
        for key, model in models.items()
    ]
    return msgspec.json.encode({"object": "list", "data": entries})
