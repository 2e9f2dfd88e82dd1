"""Requests as bytes, and the gateway's reactions to them."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from functools import partial

from tests.hostile.conftest import FIELDS, MODEL, Connect
from tests.support import requests
from tests.support.raw_client import Answer, RawClient
from tests.support.upstream import ScriptedUpstream

WITHOUT_KEY = b"Host: gateway.local\r\n"
CHAT = b"/v1/chat/completions"
STREAM_BODY = b'{"model":"%s","stream":true}' % MODEL.encode()
PLAIN_BODY = b'{"model":"%s","messages":[]}' % MODEL.encode()
# Each reads its body in another place: streamed through, collected, the gateway's own.
BODY_PATHS = (b"/v1/files", CHAT, b"/admin/models/activate")

request = partial(requests.request, fields=FIELDS)
with_body = partial(requests.with_body, fields=FIELDS)
post = partial(requests.post, fields=FIELDS)
json_post = partial(requests.json_post, fields=FIELDS)
GET = request(b"GET /v1/models")
HEALTH = request(b"GET /health", fields=WITHOUT_KEY)


async def ask(connect: Connect, sent: bytes, **where: str) -> Answer:
    """Send a request on a connection of its own, and return its response."""
    async with connect(**where) as client:
        return await client.ask(sent)


async def reached(connect: Connect, upstream: ScriptedUpstream) -> list[str]:
    """The complete requests that LM Studio received. A last one shows that no more are in flight."""
    await ask(connect, request(b"GET /v1/last-of-all"))
    assert upstream.last.target == "/v1/last-of-all"
    return [received.line for received in upstream.received[:-1]]


async def outcome(client: RawClient, sent: bytes = b"") -> bytes:
    """Send bytes, and return everything up to the connection's end, which must come within 3 s."""
    answered = b""
    with suppress(ConnectionError):
        await client.send(sent)
        async with asyncio.timeout(3):
            while piece := await client.reader.read(65536):
                answered += piece
    return answered


async def sent_until_cut_off(client: RawClient, head: bytes, piece: bytes, limit: int) -> int:
    """Send pieces until a response or the connection's end; return how many bytes were sent."""
    stopped = asyncio.create_task(client.reader.read(1))
    sent = 0
    with suppress(ConnectionError):
        await client.send(head)
        while not stopped.done() and sent < limit:
            await client.send(piece)
            sent += len(piece)
            await asyncio.sleep(0)  # drain() alone doesn't let the gateway run
    with suppress(ConnectionError):
        await asyncio.wait_for(stopped, 3)
    return sent


def statuses(answered: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/\d\.\d (\d{3}) ", answered)]


async def assert_refused(connect: Connect, sent: bytes, *allowed: int) -> None:
    """The connection is closed soon, after one of these statuses (400 by default) or no response."""
    async with connect() as client:
        answered = statuses(await outcome(client, sent))
    assert len(answered) <= 1, sent[:500]
    assert set(answered) <= set(allowed or (400,)), sent[:500]
