"""A stream of server-sent events."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import msgspec
from aiohttp import web

from ..engine.faults import Fault
from .errors import as_api_error, error_body


class EventStream:
    def __init__(self, response: web.StreamResponse) -> None:
        self.response = response

    async def send(self, content: object, event: str | None = None) -> None:
        name = b"" if event is None else b"event: %s\n" % event.encode()
        await self.response.write(b"%sdata: %s\n\n" % (name, msgspec.json.encode(content)))

    async def send_done(self) -> None:
        """OpenAI's end mark, which is no JSON."""
        await self.response.write(b"data: [DONE]\n\n")


@asynccontextmanager
async def event_stream(request: web.Request) -> AsyncIterator[EventStream]:
    """Return the stream's `response` from the handler, after the context has ended.

    Run the generation inside the context: if the client disconnects, an exception ends it.
    """
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)
    events = EventStream(response)
    with suppress(ConnectionResetError):  # the client has disconnected
        try:
            yield events
        except Fault as fault:
            # The status is already sent, so the error is an event.
            await events.send(error_body(request.path, as_api_error(fault)), event="error")
        await response.write_eof()
