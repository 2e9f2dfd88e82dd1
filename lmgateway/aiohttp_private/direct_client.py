"""A fast path for requests with a small body or none, on a ClientSession's connections."""

from __future__ import annotations

from typing import cast

import aiohttp
from aiohttp import ClientRequest, ClientSession, ClientTimeout
from aiohttp.client import IDEMPOTENT_METHODS
from aiohttp.connector import Connection
from aiohttp.http_parser import RawResponseMessage
from aiohttp.streams import StreamReader
from multidict import CIMultiDict
from yarl import URL

from .connector import FreshConnector
from .heads import head_of
from .upstream_protocol import UpstreamProtocol

# A body of this size is written without waiting for the socket's buffer to drain.
SMALL_BODY_BYTES = 32 * 1024
_SWITCHING_PROTOCOLS = 101


class NothingReceived(aiohttp.ServerDisconnectedError):
    """The connection ended before a byte of the response; the cause says how."""


class DirectResponse:
    """A response's head, and its body as a stream, with the names of aiohttp.ClientResponse."""

    def __init__(self, connection: Connection, message: RawResponseMessage, content: StreamReader) -> None:
        self.connection = connection
        self.status = message.code
        self.reason = message.reason
        self.headers = message.headers
        self.content = content
        # Called at once if the body has ended already.
        content.on_eof(connection.release)

    def close(self) -> None:
        """Close the connection, unless the body has ended and the connection went back to the pool."""
        self.connection.close()


class DirectClient:
    """Sends requests with a body of up to SMALL_BODY_BYTES, or none, to one origin.

    `ClientSession.request` also handles redirects, cookies, proxies, credentials and default headers, and
    writes each body in a separate task. That takes a tenth of the gateway's processor time per request. This
    class does only the other steps, with the session's connections and parser.
    """

    def __init__(self, session: ClientSession, base_url: str) -> None:
        """`base_url` may have a path, which is prepended to every target."""
        self._session = session
        self._connector = cast("FreshConnector", session.connector)
        self._url = URL(base_url)
        self._path = self._url.raw_path.rstrip("/")
        # It stands for all requests.
        self._any_request = ClientRequest("GET", self._url, loop=session._loop, session=session)
        self._key = self._any_request.connection_key

    async def send(
        self, method: str, target: str, headers: CIMultiDict[str], body: bytes | None, timeout: ClientTimeout
    ) -> DirectResponse:
        """Return the response as soon as its head is received.

        `headers` include Host. An idempotent request is retried once if it was sent on a pooled connection
        that had just been closed.

        Raises aiohttp.ClientError (NothingReceived), OSError.
        """
        head = head_of(f"{method} {self._path}{target} HTTP/1.1", headers)
        sent = head + body if body else head
        connector = self._connector
        may_retry = method in IDEMPOTENT_METHODS
        while True:
            connection = connector.take_idle(self._key) or await self._connect(timeout)
            protocol: UpstreamProtocol = connection.protocol  # type: ignore[assignment] # FreshConnector's
            try:
                protocol.set_response_params(
                    skip_payload=method == "HEAD",
                    read_until_eof=True,
                    auto_decompress=False,
                    read_timeout=timeout.sock_read,
                    read_bufsize=self._session._read_bufsize,
                )
                protocol.write(sent)
                protocol.start_timeout()
                while True:
                    message, content = await protocol.read()
                    if not 100 <= message.code < 200 or message.code == _SWITCHING_PROTOCOLS:
                        return DirectResponse(connection, message, content)
            except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as exc:
                connection.close()
                if not protocol.is_untouched or not may_retry:
                    if protocol.has_received:
                        raise
                    raise NothingReceived from exc
                may_retry = False
            except aiohttp.http.HttpProcessingError as exc:
                connection.close()
                request = self._any_request.request_info
                raise aiohttp.ClientResponseError(request, (), status=exc.code, message=exc.message) from exc
            except BaseException:
                connection.close()
                raise

    async def _connect(self, timeout: ClientTimeout) -> Connection:
        try:
            return await self._connector.connect(self._any_request, [], timeout)
        except TimeoutError as exc:
            raise aiohttp.ConnectionTimeoutError(f"Connection timeout to host {self._url}") from exc
