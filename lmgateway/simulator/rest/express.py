"""Responses in the form that Express gives them, the Node.js framework of LM Studio's server."""

import base64
import hashlib

import msgspec
from aiohttp import web

KEEP_ALIVE_SECONDS = 5
"""Node.js closes a connection that has been idle for so long."""


def json_response(content: object, status: int = 200) -> web.Response:
    """Pretty-printed with two spaces, without a final newline, as all of LM Studio's answers but one."""
    return _response(msgspec.json.format(msgspec.json.encode(content), indent=2), status)


def compact_json_response(content: object) -> web.Response:
    return _response(msgspec.json.encode(content), 200)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Adds what Express and Node.js send with every response, but for the upgrade to a WebSocket."""
    if response.status == 101:
        return
    headers = response.headers
    headers.popall("Server", None)
    headers["X-Powered-By"] = "Express"
    if response.keep_alive:
        headers["Connection"] = "keep-alive"
        headers["Keep-Alive"] = f"timeout={KEEP_ALIVE_SECONDS}"


def _response(body: bytes, status: int) -> web.Response:
    response = web.Response(status=status, body=body, content_type="application/json", charset="utf-8")
    response.headers["ETag"] = _etag(body)
    return response


def _etag(body: bytes) -> str:
    """The length in hexadecimal digits, and the SHA-1 in base64 without its padding."""
    digest = base64.b64encode(hashlib.sha1(body, usedforsecurity=False).digest()).decode()
    return f'W/"{len(body):x}-{digest[:27]}"'
