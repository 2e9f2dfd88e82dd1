"""The admin API: which model answers."""

from __future__ import annotations

from aiohttp import web

from ..schema import ActivateAnswer, ActivateRequest
from ..state import MODELS
from .answers import json_response
from .bodies import read_json


async def activate(request: web.Request) -> web.Response:
    active = request.app[MODELS].activate(await read_json(request, ActivateRequest))
    return json_response(
        ActivateAnswer(
            model_key=active.model_key,
            instance_id=active.instance_id,
            default_inference=active.default_inference,
            message=f"{active.name} now answers requests that name no model.",
        )
    )
