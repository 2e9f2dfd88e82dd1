"""An LM Studio that answers at once: on a bare protocol, so that it is never what is being measured.

    python -m tests.bench.fake_studio PORT

Only POST requests with a Content-Length, and GET requests for the lists of models, are understood, one at a
time on a connection.
"""

from __future__ import annotations

import asyncio
import re
import sys
from typing import cast

import uvloop

from .wire import BODY_END, FINISH, SAY, STREAM_END, USAGE, chunked, token

BACKLOG = 4096
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_WANTS_USAGE = re.compile(rb'"include_usage" *: *true')
# The prompt stands near the end of a large body.
_PROMPT_BYTES = 4096

_BODY = (
    b'{"id":"chatcmpl-k3v8e0p5o7q1w2n4c6","object":"chat.completion","created":1767222813,'
    b'"model":"qwen2.5-7b-instruct","choices":[{"index":0,"message":{"role":"assistant","content":"The sky '
    b"is blue because the molecules of the air scatter short waves of light much more than long ones, so "
    b"that blue reaches us from everywhere while red goes straight on. In the evening the way through the "
    b'air is longer, and the red is what is left.","tool_calls":[]},"logprobs":null,"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":24,"completion_tokens":64,"total_tokens":88},"stats":{},'
    b'"system_fingerprint":"qwen2.5-7b-instruct"}'
)
# Express's fields, in its order and spelling.
_HEAD = (
    b"HTTP/1.1 200 OK\r\nX-Powered-By: Express\r\n%b\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n"
)
_ANSWER = (
    _HEAD % b"Content-Type: application/json; charset=utf-8"
    + b"Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
    + b"Content-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)
_STREAM_HEAD = (
    _HEAD % b"Content-Type: text/event-stream"
    + b"Cache-Control: no-cache\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nTransfer-Encoding: chunked\r\n\r\n"
)


# The model is in memory, so that the gateway's line finds it as it does with LM Studio. The greeting is LM
# Studio's, so that the gateway decides which models are in memory.
_LISTS = {
    b"/lmstudio-greeting": b'{"lmstudio":true}',
    b"/api/v1/models": b'{"models":[{"type":"llm","key":"qwen2.5-7b-instruct","loaded_instances":[{"id":'
    b'"qwen2.5-7b-instruct","config":{"context_length":4096,"parallel":4}}]}]}',
    b"/v1/models": b'{"object":"list","data":[{"id":"qwen2.5-7b-instruct","object":"model"}]}',
}


class FakeStudio(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._expected = 0
        self._telling: asyncio.Handle | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._telling is not None:
            self._telling.cancel()

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        if not self._expected:
            end = received.find(b"\r\n\r\n")
            if end < 0:
                return
            length = _LENGTH.search(received, 0, end)
            self._expected = end + 4 + (int(length[1]) if length else 0)
        if len(received) >= self._expected:
            self._expected = 0
            self._answer(received)
            received.clear()

    def _answer(self, request: bytearray) -> None:
        if request.startswith(b"GET "):
            body = _LISTS.get(bytes(request.split(b" ", 2)[1]), b"{}")
            head = _HEAD % b"Content-Type: application/json; charset=utf-8"
            self._transport.write(b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body))
            return
        wish = SAY.search(request, max(0, len(request) - _PROMPT_BYTES))
        if wish is None:
            self._transport.write(_ANSWER)
            return
        self._transport.write(_STREAM_HEAD)
        end = (
            FINISH
            + (USAGE if _WANTS_USAGE.search(request) else b"")
            + chunked(STREAM_END + b"\n\n")
            + BODY_END
        )
        self._telling = self._loop.call_soon(
            self._tell, int(wish[1]), 1 / int(wish[2]), self._loop.time(), end
        )

    def _tell(self, left: int, pause: float, due: float, end: bytes) -> None:
        """Send a token, and the next one when it is due: `left` of them, `pause` seconds apart."""
        if not left:
            self._transport.write(end)
            return
        self._transport.write(token())
        due += pause
        self._telling = self._loop.call_at(due, self._tell, left - 1, pause, due, end)


async def main(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(FakeStudio, "127.0.0.1", port, backlog=BACKLOG)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
