"""Requests as they go over the wire, and answers read by nothing more lenient than their framing."""

from __future__ import annotations

from tests.hostile.conftest import FIELDS, MODEL, Connect
from tests.support.raw_client import Answer

CHAT = b"/v1/chat/completions"
STREAM_BODY = b'{"model":"%s","stream":true}' % MODEL.encode()
PLAIN_BODY = b'{"model":"%s","messages":[]}' % MODEL.encode()


def request(method: bytes, target: bytes, body: bytes | None = None, *fields: bytes) -> bytes:
    """A request with the key; its length is added if it has a body."""
    length = () if body is None else (b"Content-Length: %d" % len(body),)
    lines = b"".join(line + b"\r\n" for line in (*fields, *length))
    return b"%s %s HTTP/1.1\r\n%s%s\r\n%s" % (method, target, FIELDS, lines, body or b"")


def chunked(method: bytes, target: bytes, *fields: bytes) -> bytes:
    """The head of a request whose body comes in chunks."""
    return request(method, target, None, *fields, b"Transfer-Encoding: chunked")


async def ask(
    connect: Connect, method: bytes, target: bytes, body: bytes | None = None, *fields: bytes
) -> Answer:
    """Send one request on a connection of its own, and return its answer."""
    async with connect() as client:
        await client.send(request(method, target, body, *fields))
        return await client.answer(has_body=method != b"HEAD")
