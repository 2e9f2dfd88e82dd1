"""A stream of server-sent events."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import msgspec
from aiohttp import web

from ..engine.faults import Fault
from .errors import as_api_error, error_body


class EventStream:
    """The head of the response is sent with the first event: until then LM Studio sends nothing."""

    def __init__(self, request: web.Request) -> None:
        headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
        self.response = web.StreamResponse(headers=headers)
        self._request = request

    async def send(self, content: object, event: str | None = None) -> None:
        name = b"" if event is None else b"event: %s\n" % event.encode()
        await self._write(b"%sdata: %s\n\n" % (name, msgspec.json.encode(content)))

    async def send_done(self) -> None:
        """OpenAI's end mark, which is no JSON."""
        await self._write(b"data: [DONE]\n\n")

    async def _write(self, event: bytes) -> None:
        if not self.response.prepared:
            await self.response.prepare(self._request)
        await self.response.write(event)


@asynccontextmanager
async def event_stream(request: web.Request) -> AsyncIterator[EventStream]:
    """Return the stream's `response` from the handler, after the context has ended.

    Run the generation inside the context: if the client disconnects, an exception ends it.
    """
    events = EventStream(request)
    with suppress(ConnectionResetError):  # the client has disconnected
        try:
            yield events
        except Fault as fault:
            # Also before the first token: LM Studio doesn't use the status of a stream.
            await events.send(error_body(request.path, as_api_error(fault)), event="error")
        await events.response.write_eof()
