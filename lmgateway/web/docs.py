"""The handlers of /docs and /openapi.json."""

from __future__ import annotations

import asyncio

from aiohttp import web

from .page_files import answer_file, page_files
from .state import CONTEXT, DOCUMENTS


async def page(request: web.Request) -> web.Response:
    return answer_file(request, page_files()["docs.html"])


async def document(request: web.Request) -> web.Response:
    rules = request[CONTEXT].rules
    # In a thread: rendering takes 50 ms, which would delay every other request.
    file = await asyncio.to_thread(
        request.app[DOCUMENTS].file,
        key_needed=rules.callers.needs_key,
        health_is_open=rules.health_is_open,
    )
    return answer_file(request, file)
