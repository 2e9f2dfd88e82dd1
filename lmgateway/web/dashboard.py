"""The dashboard's page and files. They need no key: all data comes from the API, which does."""

from __future__ import annotations

import re
from functools import cache

from aiohttp import web

from ..errors import NotFound
from ..schema.pages import DashboardAccess, QrRequest
from .page_files import PAGE_HEADERS, PageFile, answer_file, page_file, page_files
from .request_bodies import read_json
from .responses import json_response
from .state import CONTEXT, QR_CODES

_VIEW = re.compile(rb"<!-- view: (\w+) -->")


async def page(request: web.Request) -> web.Response:
    return answer_file(request, _whole_page())


@cache
def _whole_page() -> PageFile:
    """Return index.html with each view's file in its place."""
    files = page_files()
    frame = files["index.html"]
    body = _VIEW.sub(lambda match: files[f"views/{match[1].decode()}.html"].body.strip(), frame.body)
    return page_file(body, frame.content_type)


async def static(request: web.Request) -> web.Response:
    file = page_files().get(request.match_info["name"])
    if file is None:
        raise NotFound("The pages have no such file.")
    return answer_file(request, file)


async def to_page(request: web.Request) -> web.Response:
    # Relative, like the URLs in the page, so that it works behind a proxy that adds a path prefix.
    name = request.path.rstrip("/").rpartition("/")[2]
    return web.Response(status=307, headers={"Location": f"../{name}", **PAGE_HEADERS})


async def qr_code(request: web.Request) -> web.Response:
    """Make a QR code. The text is in the body, because it may hold a key, and URLs are logged."""
    asked = await read_json(request, QrRequest, may_hold_key=True)
    image = await request.app[QR_CODES].svg(asked.text)
    headers = {**PAGE_HEADERS, "Cache-Control": "no-store"}
    return web.Response(body=image, content_type="image/svg+xml", headers=headers)


async def access(request: web.Request) -> web.Response:
    """Say whether the API requires a key: a page that tried without one would log a 401 to the console."""
    response = json_response(DashboardAccess(key_needed=request[CONTEXT].rules.callers.needs_key))
    response.headers.update(PAGE_HEADERS)
    return response
