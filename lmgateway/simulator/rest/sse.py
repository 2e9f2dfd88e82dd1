"""A stream of server-sent events."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import msgspec
from aiohttp import web

from ..engine.faults import ContextOverflow, Fault
from .errors import event_body
from .rendering import translated


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
            error = translated(fault, request, stream=True)
            if isinstance(fault, ContextOverflow) and error.status != 200 and not events.response.prepared:
                raise error from fault
            # Other errors are events even before the first token, under the status 200.
            await events.send(event_body(request.path, error), event="error")
        await events.response.write_eof()
