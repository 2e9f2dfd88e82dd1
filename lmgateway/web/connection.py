"""Clients' connections, and what is answered to what is no HTTP."""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ..aiohttp_mends import WakingRequestHandler
from ..errors import BadRequest
from .answers import error_response
from .middleware import make_request_id

logger = logging.getLogger(__name__)


class Connection(WakingRequestHandler):
    """A connection whose parse errors are answered as all others are, and without quoting what was sent.

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
        if not isinstance(exc, HttpProcessingError) or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        request_id = make_request_id()
        logger.info("%s sent a malformed request %s", request.remote, request_id)
        error = BadRequest("The request is not valid HTTP.")
        response = error_response(error, "own", request_id)
        response.headers["X-Request-Id"] = request_id
        response.force_close()
        return response


class Runner(web.AppRunner):
    """aiohttp's AppRunner, with connections of ours."""

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        return _Server(
            server.request_handler,
            request_factory=server.request_factory,
            handler_cancellation=server.handler_cancellation,
            loop=server._loop,
            **server._kwargs,
        )


class _Server(web.Server):
    def __call__(self) -> Connection:
        return Connection(self, loop=self._loop, **self._kwargs)
