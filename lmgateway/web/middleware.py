"""What every request passes on its way to a handler, outermost first."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from typing import Any, cast

from aiohttp import web
from aiohttp.typedefs import Handler

from ..access.cors import is_preflight
from ..errors import BadRequest, GatewayError, MethodNotAllowed, NotFound
from ..observe import access_log
from ..observe.exchange import Cancellation, make_request_id
from ..server.client_connection import Connection
from .context import RequestContext
from .places import api_style, place
from .responses import error_response, finish_headers
from .state import CONTEXT, HEAD, POLICIES, POLICY

logger = logging.getLogger(__name__)

# How long a client may take for what was sent before its answer broke off.
_SEVER_SECONDS = 5
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@web.middleware
async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request its id, and write its access line when it has ended, however it ends."""
    policy = request[POLICY] = request.app[POLICIES].current
    client = request.remote or ""
    head = request[HEAD] = policy.head(client, request.version, request.raw_headers)
    redact = policy.guard.keys.redact
    task = cast("asyncio.Task[Any]", asyncio.current_task())
    context = request[CONTEXT] = RequestContext(
        request_id=head.request_id or make_request_id(),
        client=client,
        method=request.method,
        path=redact(request.path),
        redact=redact,
        cancellation=Cancellation(task.cancel),
    )
    response = None
    try:
        response = await handler(request)
        return response
    finally:
        access_log.write(context.access_line(response))


@web.middleware
async def render_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn an exception into an answer, or break the connection if one is already on its way."""
    context = request[CONTEXT]
    try:
        return await handler(request)
    except GatewayError as exc:
        return _failed(request, exc)
    except web.HTTPException as exc:
        return _failed(request, _from_router(exc))
    except asyncio.CancelledError:
        if context.cancellation.error is None:
            raise  # the client left
        if (task := asyncio.current_task()) is not None:
            task.uncancel()
        return _failed(request, context.cancellation.error)
    except ConnectionResetError:
        # Writing to a client that is gone; its handler is being cancelled.
        raise
    except Exception as exc:
        logger.exception("%s failed", context.request_id)
        cause = f"{type(exc).__name__}: {exc}"
        details = cause if request[POLICY].config.environment == "development" else None
        message = "The gateway failed; its log says why, under this request's id."
        return _failed(request, GatewayError(message, details=details))


def _failed(request: web.Request, error: GatewayError) -> web.StreamResponse:
    context = request[CONTEXT]
    context.error_code = error.code
    if context.response is not None:
        return _sever(request, context.response)
    response = error_response(error, api_style(request), context.request_id, redact=context.redact)
    if not request.content.is_eof():
        # Nobody will read the rest of the body, so nothing can come after it on this connection.
        response.force_close()
    return response


def _sever(request: web.Request, begun: web.StreamResponse) -> web.StreamResponse:
    """Break the connection, so that nobody takes half an answer for a whole one.

    What was written is still sent, if the client takes it soon; aiohttp finds the connection closing and adds
    no end to the answer.
    """
    transport = request.transport
    if transport is None:
        return begun
    if request.version < (1, 1):
        # Its body has no end but the connection's: only a reset tells it from a whole one.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()
    else:
        transport.close()
        asyncio.get_running_loop().call_later(_SEVER_SECONDS, transport.abort)
    return begun


def _from_router(exc: web.HTTPException) -> GatewayError:
    if isinstance(exc, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(exc.allowed_methods))
        return MethodNotAllowed(
            f"{exc.method} is not for this path; {allowed} is.", headers={"Allow": allowed}
        )
    if isinstance(exc, web.HTTPNotFound):
        return NotFound("There is nothing at this path.")
    return BadRequest(exc.reason)


@web.middleware
async def allow_networks(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let in only clients from where the configuration says; answer preflights, which can't carry a key."""
    policy, head = request[POLICY], request[HEAD]
    request[CONTEXT].client = head.client
    head.check_framing()
    if is_preflight(request.method, request.headers):
        granted = policy.cors.preflight_headers(request.headers, proxied=place(request.path).for_pages)
        return web.Response(status=204, headers=granted)
    return await handler(request)


@web.middleware
async def require_key(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let in only who has the key, and no other site's page that wants to change something."""
    policy, here = request[POLICY], place(request.path)
    if not here.needs_no_key and not (request.path == "/health" and policy.guard.health_is_open):
        request[HEAD].require_key()
        if policy.guard.keys:
            request[CONTEXT].key = "owner"
    if here.is_own:
        policy.cors.admit_origin(request.headers)
    return await handler(request)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Put on every answer what every answer carries; called just before its head is written."""
    context = request.get(CONTEXT)
    if context is None:  # aiohttp's own answer to what is no HTTP
        return
    context.response = response
    finish_headers(response)
    head = request[HEAD]
    # What came in behind a request for another protocol is lost in aiohttp; it keeps it for websockets only.
    is_last = isinstance(request.protocol, Connection) and request.protocol.is_ending
    if is_last or head.asks_for_another_protocol:
        response.force_close()
        response.headers["Connection"] = "close"
    response.headers["X-Request-Id"] = context.request_id
    for name, value in head.cors_fields(proxied=place(request.path).for_pages).items():
        response.headers.add(name, value)  # beside a Vary of LM Studio's


MIDDLEWARES = (observe, render_errors, allow_networks, require_key)
