"""Requests as they stand on the wire, and what came of them."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress

from tests.hostile.conftest import FIELDS, Connect
from tests.support.raw_client import Answer, RawClient
from tests.support.upstream import ScriptedUpstream

WITHOUT_KEY = b"Host: gateway.local\r\n"
CHUNKED = b"Transfer-Encoding: chunked"
# On none of these paths is the body's end awaited in the same place: passed on, collected, the gateway's own.
BODY_PATHS = (b"/v1/files", b"/v1/chat/completions", b"/admin/models/activate")


def request(start: bytes, *lines: bytes, body: bytes = b"", fields: bytes = FIELDS) -> bytes:
    """A request of these header lines, after Host and key; what frames the body is among the lines."""
    return b"%s HTTP/1.1\r\n%s%s\r\n%s" % (start, fields, b"".join(line + b"\r\n" for line in lines), body)


def sized(body: bytes) -> bytes:
    return b"Content-Length: %d" % len(body)


def json_post(path: bytes, body: bytes, *lines: bytes, fields: bytes = FIELDS) -> bytes:
    lines = (b"Content-Type: application/json", sized(body), *lines)
    return request(b"POST " + path, *lines, body=body, fields=fields)


async def ask(connect: Connect, sent: bytes, **where: str) -> Answer:
    """Send a request on a connection of its own, and return its answer."""
    async with connect(**where) as client:
        await client.send(sent)
        return await client.answer(has_body=not sent.startswith(b"HEAD "))


async def reached(connect: Connect, upstream: ScriptedUpstream) -> list[str]:
    """The complete requests that LM Studio has been sent. A last one shows that no more are on their way."""
    await ask(connect, request(b"GET /v1/last-of-all"))
    assert upstream.last.target == "/v1/last-of-all"
    return [received.line for received in upstream.received[:-1]]


async def outcome(client: RawClient, sent: bytes = b"") -> bytes:
    """Send something, and return everything up to the connection's end, which must come soon."""
    answered = b""
    with suppress(ConnectionError):
        await client.send(sent)
        async with asyncio.timeout(3):
            while piece := await client.reader.read(65536):
                answered += piece
    return answered


async def sent_until_cut_off(client: RawClient, head: bytes, piece: bytes, limit: int) -> int:
    """Send pieces without end; return how many bytes it took until an answer or the connection's end."""
    stopped = asyncio.create_task(client.reader.read(1))
    sent = 0
    with suppress(ConnectionError):
        await client.send(head)
        while not stopped.done() and sent < limit:
            await client.send(piece)
            sent += len(piece)
            await asyncio.sleep(0)  # drain() alone doesn't let the gateway have its turn
    with suppress(ConnectionError):
        await asyncio.wait_for(stopped, 3)
    return sent


def statuses(answered: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/\d\.\d (\d{3}) ", answered)]


async def assert_refused(connect: Connect, sent: bytes, *allowed: int) -> None:
    """The connection is closed soon, after one such status (400 if none is given) or without a word."""
    async with connect() as client:
        answered = statuses(await outcome(client, sent))
    assert len(answered) <= 1, sent[:500]
    assert set(answered) <= set(allowed or (400,)), sent[:500]
