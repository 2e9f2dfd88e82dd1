"""Requests as they go over the wire, and answers read by nothing more lenient than their framing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from tests.hostile.conftest import FIELDS, MODEL, Connect
from tests.support.raw_client import RawClient

# What a reader gets that can tell half an answer from a whole one.
BROKEN = (asyncio.IncompleteReadError, ConnectionResetError)
CHAT = b"/v1/chat/completions"
STREAM_BODY = b'{"model":"%s","stream":true}' % MODEL.encode()
PLAIN_BODY = b'{"model":"%s","messages":[]}' % MODEL.encode()


@dataclass
class Answered:
    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def one(self, name: str) -> str | None:
        values = self.all(name)
        assert len(values) < 2, values
        return values[0] if values else None


def request(method: bytes, target: bytes, body: bytes | None = None, *fields: bytes) -> bytes:
    """A request with the key; its length is added if it has a body."""
    length = () if body is None else (b"Content-Length: %d" % len(body),)
    lines = b"".join(line + b"\r\n" for line in (*fields, *length))
    return b"%s %s HTTP/1.1\r\n%s%s\r\n%s" % (method, target, FIELDS, lines, body or b"")


def chunked(method: bytes, target: bytes, *fields: bytes) -> bytes:
    """The head of a request whose body comes in chunks."""
    return request(method, target, None, *fields, b"Transfer-Encoding: chunked")


async def read_head(client: RawClient) -> Answered:
    head = (await client.head()).decode("latin-1")
    line, *fields = head.removesuffix("\r\n\r\n").split("\r\n")
    version, status, *_ = line.split(" ")
    assert version.startswith("HTTP/1."), line
    pairs = [(name, value.strip()) for name, _, value in (text.partition(":") for text in fields)]
    return Answered(int(status), pairs)


async def read_pieces(client: RawClient, head: Answered) -> AsyncIterator[bytes]:
    """Yield the body's chunks, or all of it at once. Raises one of BROKEN if it ends before its end."""
    reader = client.reader
    if head.one("Transfer-Encoding") is not None:
        assert (head.one("Transfer-Encoding"), head.one("Content-Length")) == ("chunked", None)
        while size := int(await reader.readuntil(b"\r\n"), 16):
            yield await reader.readexactly(size)
            assert await reader.readexactly(2) == b"\r\n"
        assert await reader.readexactly(2) == b"\r\n"
    elif (length := head.one("Content-Length")) is not None:
        yield await reader.readexactly(int(length))
    else:
        yield await reader.read()


async def read_answer(client: RawClient, *, has_body: bool = True) -> Answered:
    """Read one whole answer. Raises one of BROKEN if it ends before its end."""
    answered = await read_head(client)
    if has_body and answered.status not in {204, 304}:
        async with asyncio.timeout(5):
            answered.body = b"".join([piece async for piece in read_pieces(client, answered)])
    return answered


async def ask(
    connect: Connect, method: bytes, target: bytes, body: bytes | None = None, *fields: bytes
) -> Answered:
    """Send one request on a connection of its own, and return its answer."""
    async with connect() as client:
        await client.send(request(method, target, body, *fields))
        return await read_answer(client, has_body=method != b"HEAD")
