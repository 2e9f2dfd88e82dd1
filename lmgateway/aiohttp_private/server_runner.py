"""aiohttp's runner with the gateway's own protocol and request classes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from aiohttp import HttpVersion11, web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.typedefs import Handler
from aiohttp.web_protocol import ERROR
from aiohttp.web_urldispatcher import UrlMappingMatchInfo
from multidict import CIMultiDictProxy

from .server_protocol import ServerProtocol

MakeProtocol = Callable[..., ServerProtocol]

# How many routes are cached, and the longest path of one: clients choose the paths.
MAX_FOUND = 256
MAX_CACHED_PATH = 128


class ProtocolRunner(web.AppRunner):
    """Runs an application on the connections that `make_protocol(server, **options)` returns.

    `on_expect` is called with a request that expects 100 Continue. aiohttp itself would send it before the
    middlewares have checked the request.
    """

    __slots__ = ("_make_protocol", "_on_expect")

    def __init__(
        self,
        app: web.Application,
        *,
        make_protocol: MakeProtocol,
        on_expect: Callable[[web.BaseRequest], None],
        **options: Any,
    ) -> None:
        super().__init__(app, **options)
        self._make_protocol = make_protocol
        self._on_expect = on_expect

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        make_request = server.request_factory

        def make_judged_request(message: RawRequestMessage, *arguments: Any) -> web.BaseRequest:
            if message is ERROR:  # aiohttp treats its version as HTTP/1.0, and would respond with that
                message = message._replace(version=HttpVersion11)
            expectation = message.headers.get("Expect")
            if expectation is None:
                return make_request(message, *arguments)
            headers = message.headers.copy()
            del headers["Expect"]
            message = message._replace(headers=CIMultiDictProxy(headers))
            request = make_request(message, *arguments)
            if expectation.lower() == "100-continue" and message.version >= (1, 1):
                self._on_expect(request)
            return request

        return _Server(
            Dispatcher(self.app).handle,
            request_factory=make_judged_request,
            handler_cancellation=server.handler_cancellation,
            loop=server._loop,
            make_protocol=self._make_protocol,
            **server._kwargs,
        )


class Dispatcher:
    """Does what web.Application does with a request: finds its handler, and calls it inside the middlewares.

    Application adds a middleware for nested applications, which the gateway has not, and looks for an Expect
    field, which no request has here. Both take 1 % of the processor time per request, and so does the search
    of a path that was requested before.
    """

    def __init__(self, app: web.Application) -> None:
        self._gateway = app
        self.found: dict[tuple[str, str], tuple[UrlMappingMatchInfo, Handler]] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        found = self.found.get((request._method, request._rel_url.raw_path))
        request._match_info, chain = found or await self._find(request)
        return await chain(request)

    async def _find(self, request: web.Request) -> tuple[UrlMappingMatchInfo, Handler]:
        match = await self._gateway.router.resolve(request)
        match.add_app(self._gateway)
        match.freeze()
        found = match, self._inside_middlewares(match.handler)
        method, path = request._method, request._rel_url.raw_path
        # The handler of an error is a new one each time.
        if match.http_exception is None and len(method) + len(path) <= MAX_CACHED_PATH:
            if len(self.found) >= MAX_FOUND:
                self.found.clear()
            self.found[method, path] = found
        return found

    def _inside_middlewares(self, handler: Handler) -> Handler:
        for middleware in reversed(self._gateway.middlewares):
            handler = partial(middleware, handler=handler)
        return handler


class _Server(web.Server):
    def __init__(self, *arguments: Any, make_protocol: MakeProtocol, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._make_protocol = make_protocol

    def __call__(self) -> ServerProtocol:
        return self._make_protocol(self, loop=self._loop, **self._kwargs)

    def pre_shutdown(self) -> None:
        """Do nothing: aiohttp would close idle connections here, and the drain does."""
