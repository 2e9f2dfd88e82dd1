"""One channel of LM Studio's SDK protocol, on a socket of its own.

For the channels that LM Studio's Python SDK has no method for. The frames are those of lmstudio-js
(`packages/lms-communication/src/Transport.ts`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import aiohttp

from ... import untrusted
from ...errors import LinkLost, UpstreamUnavailable
from ..catalogue import REFUSED
from ..origin import Origin
from .library import auth_message
from .link import CONNECT_SECONDS, NOT_PLAIN, UNREACHABLE
from .transport import MAX_MESSAGE_BYTES

# A half-open connection is noticed after one and a half times this. LM Studio's server answers to pings by
# itself; while it loads a model, it may take some seconds.
PING_SECONDS = 60.0
CLOSE_SECONDS = 0.5
_CHANNEL = {"channelId": 1}
_CONNECT_ERRORS = (aiohttp.ClientError, OSError, TimeoutError, ValueError)
_LOST = "The connection to LM Studio was lost."
_REJECTED = "LM Studio doesn't have this channel, or ended it. Newer versions may have it."


class Channel:
    """The client's end of a channel."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def receive(self, seconds: float | None = None) -> object:
        """Return the next packet, None if none arrives within so many seconds. A malformed frame is skipped.

        Raises LinkLost, and UpstreamUnavailable if LM Studio rejects or ends the channel.
        """
        while True:
            try:
                frame = await _frame(self._socket, seconds)
            except TimeoutError:
                return None
            match frame:
                case {"type": "channelSend", "channelId": 1, "message": message} if message is not None:
                    return message
                case {"type": "communicationWarning" | "channelError" | "channelClose"}:
                    raise UpstreamUnavailable(_REJECTED)


@asynccontextmanager
async def open_channel(origin: Origin, namespace: str, endpoint: str) -> AsyncIterator[Channel]:
    """Connect, open a channel without a creation parameter, and stop it at the block's end.

    Raises UpstreamUnavailable.
    """
    async with AsyncExitStack() as resources:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                socket = await _connect(origin, namespace, resources)
                await socket.send_json({"type": "channelCreate", "endpoint": endpoint, **_CHANNEL})
        except _CONNECT_ERRORS as exc:
            raise UpstreamUnavailable(UNREACHABLE) from exc
        try:
            yield Channel(socket)
        finally:
            with suppress(*_CONNECT_ERRORS):  # the connection may be gone
                async with asyncio.timeout(CLOSE_SECONDS):
                    await socket.send_json({"type": "channelSend", **_CHANNEL, "message": {"type": "stop"}})


async def _connect(
    origin: Origin, namespace: str, resources: AsyncExitStack
) -> aiohttp.ClientWebSocketResponse:
    """Return a socket that LM Studio has accepted; `resources` closes it."""
    if origin.sdk_host is None:
        raise UpstreamUnavailable(NOT_PLAIN)
    session = aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        middlewares=(_without_redirects,),
    )
    await resources.enter_async_context(session)
    connecting = session.ws_connect(
        f"http://{origin.sdk_host}/{namespace}",
        heartbeat=PING_SECONDS,
        max_msg_size=MAX_MESSAGE_BYTES,
        timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
    )
    socket = await resources.enter_async_context(connecting)
    await socket.send_json(auth_message(origin.api_token))
    match await _frame(socket):
        case {"success": True}:
            return socket
    raise UpstreamUnavailable(REFUSED)


async def _without_redirects(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Raise ClientResponseError for a redirect: the token is for LM Studio's address only."""
    response = await handler(request)
    if 300 <= response.status < 400:
        response.close()
        raise aiohttp.ClientResponseError(request.request_info, (), status=response.status)
    return response


async def _frame(socket: aiohttp.ClientWebSocketResponse, seconds: float | None = None) -> object:
    """Return the next frame's JSON data, None if it isn't JSON. Raises LinkLost, TimeoutError."""
    received = await socket.receive(seconds)
    if received.type is aiohttp.WSMsgType.BINARY:
        return None
    if received.type is not aiohttp.WSMsgType.TEXT:
        raise LinkLost(_LOST)
    try:
        return untrusted.parse_json(received.data)
    except (ValueError, RecursionError):
        return None
