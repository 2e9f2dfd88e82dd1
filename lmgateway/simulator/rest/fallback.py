"""The response to unknown paths, and two paths that belong to no API."""

import asyncio

from aiohttp import web

from ..keys import STUDIO
from .express import compact_json_response, json_response


async def greeting(_: web.Request) -> web.Response:
    """The path by which the SDK recognizes LM Studio. Its 17 bytes are the only compact answer."""
    return compact_json_response({"lmstudio": True})


async def ledger(request: web.Request) -> web.Response:
    """The simulator's own: `{"total","apis","aborts","slots","models","instances","loads","unloads"}`."""
    return json_response(request.app[STUDIO].ledger.report())


async def unexpected(request: web.Request) -> web.Response:
    """200 with an error inside, for any method. An upgrade to a WebSocket is never answered at all."""
    if request.headers.get("Upgrade", "").lower() == "websocket":
        await asyncio.get_running_loop().create_future()
    error = f"Unexpected endpoint or method. ({request.method} {request.raw_path})"
    request.app[STUDIO].log.write("ERROR", f"{error}. Returning 200 anyway")
    return json_response({"error": error})
