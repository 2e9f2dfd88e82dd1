"""HTTP requests to one LM Studio, and the translation of their errors."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from functools import cached_property, lru_cache
from typing import cast

import aiohttp
from msgspec import Struct
from multidict import CIMultiDict
from yarl import URL

from ...aiohttp_private.direct_client import SMALL_BODY_BYTES, DirectClient, DirectResponse, NothingReceived
from ...aiohttp_private.urls import exact_url
from ...config import LMStudio
from ...errors import (
    DO_NOT_RETRY,
    RETRY_SOON,
    GatewayError,
    Overloaded,
    UpstreamBroke,
    UpstreamDropped,
    UpstreamNotReached,
    UpstreamSilent,
    UpstreamUnavailable,
)
from ..health import Health
from .pool import HttpPool
from .response import UpstreamResponse
from .sockets import PEER_GONE, is_peer_gone

CONNECT_SECONDS = 5
LARGE_BODY_BYTES = 512 * 1024
PIECE_BYTES = 64 * 1024

_UNAVAILABLE = (
    "LM Studio can't be reached. Check that it runs, that its server is started, and that lmstudio.base_url "
    "is its address."
)

_NO_ANSWER = "LM Studio closed the connection, or sent no HTTP answer."

Body = bytes | tuple[memoryview, ...] | AsyncIterator[bytes] | None


async def _pieces(*parts: bytes | memoryview) -> AsyncIterator[bytes]:
    for part in parts:
        for start in range(0, len(part), PIECE_BYTES):
            yield bytes(part[start : start + PIECE_BYTES])
            # The kernel may accept megabytes without blocking; other requests run between the pieces.
            await asyncio.sleep(0)


class Outgoing(Struct, frozen=True):
    """A request to LM Studio. `target` is path and query as they are sent, relative to the base URL.

    A long body may consist of parts.
    """

    method: str
    target: str
    headers: CIMultiDict[str]
    body: Body


def _fault_in_head(response: aiohttp.ClientResponse | DirectResponse) -> str | None:
    """Return why a head that aiohttp accepts is rejected: a client could interpret it differently."""
    if response.status == 101:
        return "LM Studio switched protocols, which no request asked for."
    if response.status < 200 or "\0" in (response.reason or ""):
        return "LM Studio sent a malformed status line."
    codings = response.headers.getall("Transfer-Encoding", ())
    if codings and [coding.strip().lower() for coding in codings] != ["chunked"]:
        return "LM Studio sent its answer in a transfer coding that no request asked for."
    return None


def _failure(exc: aiohttp.ClientError | OSError, silence: float | None) -> GatewayError:
    """Translate an exception of aiohttp's into the gateway's own error."""
    if isinstance(exc, aiohttp.ClientConnectorError):
        if exc.errno in {errno.EMFILE, errno.ENFILE}:
            return Overloaded("The gateway has no file descriptors left.", headers=RETRY_SOON)
        return UpstreamNotReached(_UNAVAILABLE)
    if isinstance(exc, aiohttp.ConnectionTimeoutError):
        return UpstreamUnavailable(_UNAVAILABLE)
    if isinstance(exc, aiohttp.ServerTimeoutError):
        return UpstreamSilent(
            f"LM Studio didn't answer within {silence:g} s. If it needs longer, raise proxy.timeout_ms "
            "(proxy.stream_timeout_ms for streams).",
            headers=DO_NOT_RETRY,
        )
    is_empty = isinstance(exc, NothingReceived)
    cause = exc.__cause__ if is_empty and isinstance(exc.__cause__, OSError) else exc
    kind = UpstreamDropped if is_empty else UpstreamBroke
    return kind(PEER_GONE if is_peer_gone(cause) else _NO_ANSWER)


def _reason(exc: aiohttp.ClientError | OSError) -> str:
    """Return the reason of a failure for the log, "" if its text may quote what LM Studio sent."""
    if isinstance(exc, aiohttp.ClientConnectorError):
        return str(exc)
    if isinstance(exc, aiohttp.ServerDisconnectedError):
        # Its text may be the part of the head that was received.
        return "Server disconnected"
    return (exc.strerror or "") if isinstance(exc, OSError) else ""


@lru_cache
def _timeout(silence: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=silence)


class HttpClient:
    """Sends requests to one address with one API token. Each outcome is recorded in `health`."""

    def __init__(self, config: LMStudio, pool: HttpPool, health: Health) -> None:
        self.base_url = config.base_url
        self._base = str(self.base_url).rstrip("/")
        self._host = URL(self._base).host_port_subcomponent or ""
        self._authorization = f"Bearer {config.api_token}" if config.api_token else ""
        self._pool = pool
        self._health = health

    @cached_property
    def _direct(self) -> DirectClient:
        # At the first request: the pool has no session before the gateway starts.
        return DirectClient(self._pool.session, self._base)

    def address(
        self,
        method: str,
        target: str,
        headers: CIMultiDict[str],
        body: Body = None,
    ) -> Outgoing:
        """Return a request to this LM Studio. A configured API token replaces the client's Authorization."""
        headers["Host"] = self._host
        if self._authorization:
            headers["Authorization"] = self._authorization
        if isinstance(body, bytes):
            headers["Content-Length"] = str(len(body))
        elif isinstance(body, tuple):
            headers["Content-Length"] = str(sum(map(len, body)))
        elif body is None and method not in aiohttp.ClientRequest.GET_METHODS:
            headers.setdefault("Content-Length", "0")
        return Outgoing(method, target, headers, body)

    async def send(self, outgoing: Outgoing, *, silence: float | None) -> UpstreamResponse:
        """Send a request and return the response as soon as its head is received. The caller closes it.

        `silence` limits the seconds until the head, and then between any two bytes; None is no limit.

        Raises UpstreamUnavailable (UpstreamNotReached), UpstreamSilent, UpstreamBroke, Overloaded.
        """
        headers, body = outgoing.headers, outgoing.body
        is_small = body is None or (isinstance(body, bytes) and len(body) <= SMALL_BODY_BYTES)
        response: aiohttp.ClientResponse | DirectResponse
        try:
            if is_small:
                response = await self._direct.send(
                    outgoing.method, outgoing.target, headers, cast("bytes | None", body), _timeout(silence)
                )
            else:
                response = await self._upload(outgoing, silence)
        except (aiohttp.ClientError, OSError) as exc:
            failure = _failure(exc, silence)
            self._record(failure, outgoing, _reason(exc))
            raise failure from exc
        if (fault := _fault_in_head(response)) is not None:
            response.close()
            broke = UpstreamBroke(fault)
            self._record(broke, outgoing)
            raise broke
        self._health.record(None, self.base_url)
        return UpstreamResponse(response)

    def _record(self, failure: GatewayError, outgoing: Outgoing, reason: str = "") -> None:
        """Record a failure, unless it isn't LM Studio's: missing descriptors, or a failed upload."""
        is_upload = isinstance(outgoing.body, AsyncIterator)
        if isinstance(failure, UpstreamUnavailable) or not (is_upload or isinstance(failure, Overloaded)):
            self._health.record(failure, self.base_url, reason)

    async def _upload(self, outgoing: Outgoing, silence: float | None) -> aiohttp.ClientResponse:
        """Send a request with a large body, or one that is still being received."""
        body = outgoing.body
        if isinstance(body, bytes) and len(body) > LARGE_BODY_BYTES:
            # One large write would block every other request.
            body = _pieces(body)
        elif isinstance(body, tuple):
            body = _pieces(*body)
        try:
            return await self._pool.session.request(
                outgoing.method,
                exact_url(self._base, outgoing.target),
                headers=outgoing.headers,
                data=body,
                allow_redirects=False,
                timeout=_timeout(silence),
            )
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as exc:
            if self._pool.connector.has_received():
                raise
            raise NothingReceived from exc
