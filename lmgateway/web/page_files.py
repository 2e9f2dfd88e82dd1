"""The pages' files, served from memory, and their response headers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath

from aiohttp import ETag, web
from msgspec import Struct

PAGE_HEADERS = {
    # File names don't change with their content, so a browser must revalidate each time, by ETag.
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# Not from the mimetypes module, whose table depends on the machine.
_CONTENT_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
_OTHER = "text/plain"
CONTENT_TYPES = (*_CONTENT_TYPES.values(), _OTHER)


class PageFile(Struct, frozen=True):
    """`content_type` is the whole header value."""

    body: bytes
    content_type: str
    etag: str


def page_file(body: bytes, content_type: str) -> PageFile:
    return PageFile(body, content_type, hashlib.sha256(body).hexdigest()[:32])


@cache
def page_files() -> Mapping[str, PageFile]:
    """Return the files by their paths below static/. All are in memory, so no request can open a path."""
    return {name: _read(file) for name, file in _walk(resources.files(__package__) / "static")}


def answer_file(request: web.Request, file: PageFile) -> web.Response:
    """Return the file, or 304 if the client has this version."""
    known = request.if_none_match or ()
    if any(etag.value in {file.etag, "*"} for etag in known):
        response = web.Response(status=304, headers=PAGE_HEADERS)
    else:
        response = web.Response(body=file.body, headers={**PAGE_HEADERS, "Content-Type": file.content_type})
    response.etag = ETag(file.etag)
    return response


def _walk(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, entry


def _read(file: Traversable) -> PageFile:
    kind = _CONTENT_TYPES.get(PurePosixPath(file.name).suffix, _OTHER)
    return page_file(file.read_bytes(), f"{kind}; charset=utf-8")
