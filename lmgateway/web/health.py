"""The handlers of /health: the gateway's liveness, and LM Studio's reachability."""

from __future__ import annotations

import time

from aiohttp import web

from ..observe.clock import iso_timestamp
from ..schema.health import Health, Readiness, Root
from .responses import json_response
from .state import CONTEXT, STARTED


async def root(_request: web.Request) -> web.Response:
    return json_response(Root(name="lmgateway", dashboard="/dashboard", docs="/docs"))


async def health(request: web.Request) -> web.Response:
    uptime = round(time.monotonic() - request.app[STARTED], 3)
    return json_response(Health(timestamp=iso_timestamp(), uptime=uptime))


async def ready(request: web.Request) -> web.Response:
    lmstudio = await request[CONTEXT].rules.box.probe()
    if lmstudio.reachable:
        return json_response(Readiness(status="ok", lmstudio=lmstudio))
    return json_response(Readiness(status="unavailable", lmstudio=lmstudio), status=503)
