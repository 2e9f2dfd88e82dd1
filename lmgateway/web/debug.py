"""The live view: what happens, as it happens."""

from __future__ import annotations

import re

import msgspec
from aiohttp import web
from aiohttp_sse import sse_response

from ..observe.clock import iso_timestamp
from ..state import EVENTS

KEEP_ALIVE_SECONDS = 30
SEND_SECONDS = 30
_EVENT_NUMBER = re.compile(r"[0-9]{1,18}\Z")


async def stream(request: web.Request) -> web.StreamResponse:
    """Send events until the reader leaves or the gateway ends.

    `types` names the wanted ones; Last-Event-ID resumes after that one, as far as it is still known.
    """
    names = frozenset(filter(None, request.query.get("types", "").split(",")))
    last = request.headers.get("Last-Event-ID", "")
    after = int(last) if _EVENT_NUMBER.match(last) else None
    events = request.app[EVENTS]
    with events.subscribe(names, after=after) as subscription:
        async with sse_response(
            request, sep="\n", ping_interval=KEEP_ALIVE_SECONDS, send_timeout=SEND_SECONDS
        ) as response:
            await response.send(_data(message="Listening to the gateway's events"), event="connected")
            while (published := await subscription.next()) is not None:
                if missed := subscription.take_missed():
                    await response.send(_data(missed=missed), event="lagged")
                await response.send(published.data, id=str(published.number), event=published.name)
        return response


def _data(**fields: object) -> str:
    return msgspec.json.encode({"timestamp": iso_timestamp(), **fields}).decode()
