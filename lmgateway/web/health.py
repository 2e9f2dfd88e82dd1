"""The handlers of / and /health: the gateway's name and liveness, and LM Studio's reachability."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

from ..observe.clock import iso_timestamp
from ..schema.health import Health, Readiness, Root
from .accepting import quality
from .responses import json_response
from .state import CONTEXT, STARTED


async def root(request: web.Request) -> web.Response:
    """Lead a browser to the dashboard; describe the server to everybody else."""
    accept = request.headers.getall("Accept", ())
    if quality("text/html", accept) > quality("application/json", accept):
        # Relative, so that it works behind a proxy that adds a path prefix.
        response = web.Response(status=307, headers={"Location": "dashboard"})
    else:
        response = json_response(Root(name="lmgateway", dashboard="/dashboard", docs="/docs"))
    response.headers["Vary"] = "Accept"
    return response


async def health(request: web.Request) -> web.Response:
    uptime = round(time.monotonic() - request.app[STARTED], 3)
    return json_response(Health(timestamp=iso_timestamp(), uptime=uptime))


async def ready(request: web.Request) -> web.Response:
    """Say whether any LM Studio answers. It reports the first one that does, else the first one."""
    probes = await asyncio.gather(*(box.probe() for box in request[CONTEXT].rules.boxes))
    lmstudio = next((probe for probe in probes if probe.reachable), probes[0])
    if lmstudio.reachable:
        return json_response(Readiness(status="ok", lmstudio=lmstudio))
    return json_response(Readiness(status="unavailable", lmstudio=lmstudio), status=503)
