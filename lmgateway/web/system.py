"""The handlers of /admin/config and /debug/system: what is in force, and on what it runs."""

from __future__ import annotations

import asyncio

from aiohttp import web

from ..boxes.overview import overview
from ..observe.machine import gateway_report, machine_report
from ..schema.system import ConfigReport, SystemOverview
from .responses import json_response
from .state import ACTIVITY, CONTEXT, STARTED


async def configuration(request: web.Request) -> web.Response:
    return json_response(ConfigReport(settings=tuple(request[CONTEXT].rules.settings)))


async def system(request: web.Request) -> web.Response:
    app = request.app
    boxes = await asyncio.gather(*map(overview, request[CONTEXT].rules.boxes))
    return json_response(
        SystemOverview(
            gateway=gateway_report(app[ACTIVITY], app[STARTED]),
            machine=machine_report(),
            boxes=tuple(boxes),
        )
    )
