"""Clients' connections, and what is answered to what is no HTTP."""

from __future__ import annotations

import logging
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawRequestMessage
from multidict import CIMultiDictProxy

from ..aiohttp_mends import WakingRequestHandler
from ..errors import BadRequest
from ..state import EXPECTS_CONTINUE
from .answers import error_response, finish_headers
from .middleware import make_request_id

logger = logging.getLogger(__name__)


class Connection(WakingRequestHandler):
    """A connection whose parse errors are answered and logged without quoting what was sent.

    aiohttp puts the malformed line into its answer and its log, and that line may hold the key.
    """

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if isinstance(exc, ConnectionError):
            # The client left before its answer; start() knows what to do.
            raise exc
        if not isinstance(exc, HttpProcessingError) or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        request_id = make_request_id()
        logger.info("%s sent a malformed request %s", request.remote, request_id)
        response = error_response(BadRequest("The request is not valid HTTP."), "own", request_id)
        response.headers["X-Request-Id"] = request_id
        finish_headers(response)
        response.force_close()
        return response

    def log_exception(self, *args: Any, **options: Any) -> None:
        if isinstance(options.get("exc_info"), (HttpProcessingError, web.RequestPayloadError)):
            logger.info("%s sent a malformed body", self.peername)
        else:
            super().log_exception(*args, **options)


class Runner(web.AppRunner):
    """aiohttp's AppRunner, with connections and requests of ours."""

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        make_request = server.request_factory

        def make_request_without_expect(message: RawRequestMessage, *arguments: Any) -> web.BaseRequest:
            # aiohttp would answer 100 Continue before anybody has judged the request; bodies.Upload does it
            # when the body is wanted.
            expectation = message.headers.get("Expect")
            if expectation is not None:
                headers = message.headers.copy()
                del headers["Expect"]
                message = message._replace(headers=CIMultiDictProxy(headers))
            request = make_request(message, *arguments)
            if (
                expectation is not None
                and expectation.lower() == "100-continue"
                and message.version >= (1, 1)
            ):
                request[EXPECTS_CONTINUE] = True
            return request

        return _Server(
            server.request_handler,
            request_factory=make_request_without_expect,
            handler_cancellation=server.handler_cancellation,
            loop=server._loop,
            **server._kwargs,
        )


class _Server(web.Server):
    def __call__(self) -> Connection:
        return Connection(self, loop=self._loop, **self._kwargs)
