"""Streams that wait for LM Studio's first byte, and what their clients get meanwhile."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass

from tests.support.raw_client import Answer, RawClient
from tests.support.requests import json_post
from tests.support.upstream import Received, Script
from tests.support.waiting import PATIENCE_SECONDS

CHAT, COMPLETIONS, MESSAGES = "/v1/chat/completions", "/v1/completions", "/v1/messages"
RESPONSES, NATIVE = "/v1/responses", "/api/v1/chat"
V0_CHAT, V0_COMPLETIONS = "/api/v0/chat/completions", "/api/v0/completions"
KEEPALIVE_MS = 30

# A comment with its empty line (WHATWG HTML section 9.2.6), Anthropic's ping, Codex' event.
COMMENT = b": waiting\n\n"
PING = b'event: ping\ndata: {"type": "ping"}\n\n'
FOR_CODEX = b'event: keepalive\ndata: {"type": "keepalive", "sequence_number": 0}\n\n'
KEEP_ALIVES = dict.fromkeys((CHAT, COMPLETIONS, V0_CHAT, V0_COMPLETIONS, RESPONSES, NATIVE), COMMENT) | {
    MESSAGES: PING
}
STREAM = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 9}


def stream_request(path: str, *lines: bytes, **members: object) -> bytes:
    return json_post(path.encode(), json.dumps(STREAM | members).encode(), *lines)


def held(gate: asyncio.Event, then: Script) -> Script:
    """Send nothing before the gate is open."""

    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        await then(request, reader, writer)

    return script


@dataclass
class Waiting:
    """A response whose keep-alives are received. `count` is how many so far."""

    client: RawClient
    keep_alive: bytes
    head: Answer
    count: int = 0

    async def keep_alives(self, number: int) -> None:
        """Receive so many more, each as a chunk of its own."""
        for _ in range(number):
            expected = b"%x\r\n%s\r\n" % (len(self.keep_alive), self.keep_alive)
            chunk = self.client.reader.readexactly(len(expected))
            assert await asyncio.wait_for(chunk, PATIENCE_SECONDS) == expected
            self.count += 1

    async def rest(self) -> bytes:
        """Return the body from the last keep-alive on. Raises one of BROKEN if it doesn't end."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            body = b"".join([piece async for piece in self.client.pieces(self.head)])
        return self._without_keep_alives(body)

    async def broken_rest(self) -> bytes:
        """Return what comes before the connection breaks; a response that ends fails the test."""
        received = await self.client.rest()
        assert b"\r\n0\r\n" not in received, received
        body = b""
        while received:
            size, _, received = received.partition(b"\r\n")
            body, received = body + received[: int(size, 16)], received[int(size, 16) + 2 :]
        return self._without_keep_alives(body)

    def _without_keep_alives(self, body: bytes) -> bytes:
        while body.startswith(self.keep_alive):
            body, self.count = body.removeprefix(self.keep_alive), self.count + 1
        return body


async def waiting(client: RawClient, request: bytes, keep_alive: bytes = COMMENT) -> Waiting:
    """Send a request, and return when the first keep-alive is received."""
    await client.send(request)
    stream = Waiting(client, keep_alive, await client.answer_head())
    await stream.keep_alives(1)
    return stream
