"""The dashboard's page and its files. They hold no secret: their data comes from the API, with the key."""

from __future__ import annotations

import hashlib
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath

from aiohttp import ETag, web
from msgspec import Struct

from ..errors import NotFound
from ..state import POLICY
from .answers import json_response

_HEADERS = {
    # Without a build step a file's name doesn't change with its content: a browser asks each time, by ETag.
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# Not the mimetypes module's, whose answers depend on the machine.
_CONTENT_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}


class _File(Struct, frozen=True):
    body: bytes
    content_type: str
    etag: str


def add_routes(router: web.UrlDispatcher) -> None:
    """Serve the files as they are now. They fit into memory, so that no path is ever opened for a request."""
    files = {name: _read(file) for name, file in _walk(resources.files(__package__) / "static")}

    async def page(request: web.Request) -> web.Response:
        return _answer(request, files["index.html"])

    async def static(request: web.Request) -> web.Response:
        file = files.get(request.match_info["name"])
        if file is None:
            raise NotFound("The dashboard has no such file.")
        return _answer(request, file)

    router.add_get("/dashboard", page)
    router.add_get("/dashboard/", to_page)
    router.add_get("/dashboard/access", access)
    router.add_get("/dashboard/static/{name:.+}", static)


async def to_page(_request: web.Request) -> web.Response:
    # The page names its files relative to its own place, so that a proxy may put a prefix before it.
    return web.Response(status=307, headers={"Location": "../dashboard", **_HEADERS})


async def access(request: web.Request) -> web.Response:
    """Tell the page whether to ask for a key. Trying without would be an error in the browser's console."""
    response = json_response({"keyNeeded": bool(request[POLICY].guard.keys)})
    response.headers.update(_HEADERS)
    return response


def _walk(folder: Traversable, prefix: str = "") -> list[tuple[str, Traversable]]:
    found = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found.extend(_walk(entry, f"{prefix}{entry.name}/"))
        else:
            found.append((prefix + entry.name, entry))
    return found


def _read(file: Traversable) -> _File:
    body = file.read_bytes()
    kind = _CONTENT_TYPES.get(PurePosixPath(file.name).suffix, "text/plain")
    return _File(body, kind, hashlib.sha256(body).hexdigest()[:32])


def _answer(request: web.Request, file: _File) -> web.Response:
    known = request.if_none_match or ()
    if any(etag.value in {file.etag, "*"} for etag in known):
        response = web.Response(status=304, headers=_HEADERS)
    else:
        response = web.Response(
            body=file.body, content_type=file.content_type, charset="utf-8", headers=_HEADERS
        )
    response.etag = ETag(file.etag)
    return response
