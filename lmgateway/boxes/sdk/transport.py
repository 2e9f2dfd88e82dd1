"""The connections of LM Studio's SDK: plain HTTP and WebSockets, without a proxy, and with bounds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any

import httpcore
import httpx
from httpx_ws import AsyncWebSocketSession, HTTPXWSException, WebSocketNetworkError, aconnect_ws

from ... import untrusted

REQUEST_SECONDS = 2
# The list of six thousand models takes 4 MB. A message is collected, and then parsed in one piece.
MAX_MESSAGE_BYTES = 4 * 1024**2
MAX_RESPONSE_BYTES = 64 * 1024

# The SDK opens its sockets in tasks of its own, which inherit the variable.
_ON_LOST: ContextVar[Callable[[], None] | None] = ContextVar("_ON_LOST", default=None)


def _direct_client() -> httpx.AsyncClient:
    # Ignore HTTP_PROXY. Skip the set-up of TLS, which would block the event loop for 30 ms: the connection
    # is plain HTTP.
    return httpx.AsyncClient(trust_env=False, verify=False)  # noqa: S501


class Session(AsyncWebSocketSession):
    """A websocket that takes a number of any size in a message.

    It ends when a message is too long, or isn't a JSON object: the SDK would block the event loop for ever
    after a `null`, and its task would die of most others.

    `on_lost` is called when it ends in any way but by a cancellation; it must not raise.
    """

    on_lost: Callable[[], None] | None = None

    # Received since the last message.
    _unfinished_bytes = 0

    async def receive_json(self, *arguments: Any, **_: Any) -> dict[str, object]:
        try:
            return await self._receive_object(*arguments)
        except HTTPXWSException:
            if self.on_lost is not None:
                self.on_lost()
            raise

    async def _receive_object(self, *arguments: Any) -> dict[str, object]:
        text = await self.receive_text(*arguments)
        self._unfinished_bytes = 0
        try:
            # Python's own JSON parser raises on a number of 4,300 digits.
            message = untrusted.parse_json(text)
        except (ValueError, RecursionError) as exc:
            raise WebSocketNetworkError("the message isn't JSON") from exc
        if not isinstance(message, dict):
            raise WebSocketNetworkError("the message isn't a JSON object")
        return message

    async def _read_stream(self, max_bytes: int) -> bytes:
        data = await super()._read_stream(max_bytes)
        self._unfinished_bytes += len(data)
        if self._unfinished_bytes > MAX_MESSAGE_BYTES:
            # The library takes it for the end of the connection.
            raise httpcore.ReadError("the message is too long")
        return data


@contextmanager
def reporting_loss(on_lost: Callable[[], None]) -> Iterator[None]:
    """Have `on_lost` called for each socket that is opened in the block, also by tasks that it starts."""
    before = _ON_LOST.set(on_lost)
    try:
        yield
    finally:
        _ON_LOST.reset(before)


@asynccontextmanager
async def connect(url: str, **options: Any) -> AsyncIterator[AsyncWebSocketSession]:
    options["session_class"] = Session
    async with _direct_client() as client, aconnect_ws(url, client, **options) as session:
        session.on_lost = _ON_LOST.get()
        yield session


async def request(url: str) -> httpx.Response:
    """Return the response to a GET. Raises httpx.HTTPError, also for a body that is too long."""
    async with (
        _direct_client() as client,
        client.stream("GET", url, timeout=REQUEST_SECONDS) as response,
    ):
        body = b""
        # Not decoded: a small body may decode to a large one.
        async for piece in response.aiter_raw():
            body += piece
            if len(body) > MAX_RESPONSE_BYTES:
                raise httpx.ReadError("the response is too long")
        return httpx.Response(response.status_code, content=body)
