"""Requests whose body is at hand, sent over a ClientSession's connections without detours."""

from __future__ import annotations

from typing import cast

import aiohttp
from aiohttp import BaseConnector, ClientRequest, ClientSession, ClientTimeout
from aiohttp.client import IDEMPOTENT_METHODS
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_parser import RawResponseMessage
from aiohttp.http_writer import StreamWriter
from aiohttp.streams import StreamReader
from multidict import CIMultiDict
from yarl import URL

from ...aiohttp_mends import WakingResponseHandler

# As much as goes into a connection's buffers at once, whatever else waits there.
AT_ONCE_BYTES = 32 * 1024
_SWITCHING = 101


class Reply:
    """An answer's head, and its body as it comes in: what is needed of an aiohttp.ClientResponse."""

    def __init__(self, connection: Connection, message: RawResponseMessage, content: StreamReader) -> None:
        self.connection = connection
        self.status = message.code
        self.reason = message.reason
        self.headers = message.headers
        self.content = content
        # Which may be now.
        content.on_eof(connection.release)

    def close(self) -> None:
        """End the connection, unless the answer has ended and left it to others."""
        self.connection.close()


class DirectClient:
    """Sends requests whose body is at hand, if they have one, to one origin.

    `ClientSession.request` looks for redirects, cookies, proxies, credentials and fields to add, and writes
    each body in a task of its own; of all that a gateway does this was a tenth. Here are the steps that are
    left, with the session's own connections and parser. Private parts of aiohttp 3.14 are used.
    """

    def __init__(self, session: ClientSession, base_url: str) -> None:
        """`base_url` may have a path, which all targets are below."""
        self._session = session
        self._url = URL(base_url)
        self._path = self._url.raw_path.rstrip("/")
        self._host = {"Host": self._url.host_port_subcomponent or ""}
        # Stands for all of them where a connection is looked for.
        self._any = ClientRequest("GET", self._url, loop=session._loop, session=session)

    async def send(
        self, method: str, target: str, fields: CIMultiDict[str], body: bytes, timeout: ClientTimeout
    ) -> Reply:
        """Return the answer as soon as its head is there. Raises aiohttp.ClientError, OSError.

        A kept connection may turn out to be closed. What doesn't change anything twice is then sent again.
        """
        head: CIMultiDict[str] = CIMultiDict(self._host)
        head.extend(fields)
        line = f"{method} {self._path}{target} HTTP/1.1"
        connection = await self._connect(timeout)
        protocol = cast("WakingResponseHandler", connection.protocol)
        try:
            return await self._ask(connection, line, head, body, timeout)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
            if not protocol.is_unheard or method not in IDEMPOTENT_METHODS:
                raise
        return await self._ask(await self._connect(timeout), line, head, body, timeout)

    async def _connect(self, timeout: ClientTimeout) -> Connection:
        try:
            return await cast("BaseConnector", self._session.connector).connect(self._any, [], timeout)
        except TimeoutError as exc:
            raise aiohttp.ConnectionTimeoutError(f"Connection timeout to host {self._url}") from exc

    async def _ask(
        self, connection: Connection, line: str, head: CIMultiDict[str], body: bytes, timeout: ClientTimeout
    ) -> Reply:
        protocol = cast("ResponseHandler", connection.protocol)
        try:
            protocol.set_response_params(
                skip_payload=line.startswith("HEAD "),
                read_until_eof=True,
                auto_decompress=False,
                read_timeout=timeout.sock_read,
                read_bufsize=self._session._read_bufsize,
            )
            writer = StreamWriter(protocol, self._session._loop)
            await writer.write_headers(line, head)
            await writer.write_eof(body)
            protocol.start_timeout()
            while True:
                message, content = await protocol.read()
                if not 100 <= message.code < 200 or message.code == _SWITCHING:
                    return Reply(connection, message, content)
        except aiohttp.http.HttpProcessingError as exc:
            connection.close()
            raise aiohttp.ClientResponseError(
                self._any.request_info, (), status=exc.code, message=exc.message
            ) from exc
        except BaseException:
            connection.close()
            raise
