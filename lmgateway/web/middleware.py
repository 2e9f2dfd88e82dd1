"""What every request passes on its way to a handler, outermost first."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web
from aiohttp.typedefs import Handler

from ..access.cors import is_preflight
from ..aiohttp_private.server_protocol import protocol_of
from ..errors import BadRequest, GatewayError, MethodNotAllowed, NotFound
from ..observe import access_log
from ..observe.exchange import Exchange, make_request_id
from .places import api_style, place
from .responses import error_response, finish_headers
from .state import EXCHANGE, HEAD, POLICIES, POLICY

logger = logging.getLogger(__name__)

# How long a client may take for what was sent before its answer broke off.
_SEVER_SECONDS = 5


@web.middleware
async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request its id, and write its access line when it has ended, however it ends."""
    policy = request[POLICY] = request.app[POLICIES].current
    client = request.remote or ""
    head = request[HEAD] = policy.head(client, request.version, request.raw_headers)
    redact = policy.guard.keys.redact
    exchange = request[EXCHANGE] = Exchange(
        request_id=head.request_id or make_request_id(),
        client=client,
        method=request.method,
        path=redact(request.path),
        redact=redact,
    )
    exchange.task = asyncio.current_task()
    try:
        response = await handler(request)
        exchange.status = response.status
        return response
    finally:
        exchange.close()
        access_log.write(exchange)


@web.middleware
async def render_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what was raised into an answer, or break the connection if one is already on its way."""
    exchange = request[EXCHANGE]
    try:
        return await handler(request)
    except GatewayError as exc:
        error = exc
    except web.HTTPException as exc:
        error = _from_router(exc)
    except asyncio.CancelledError:
        if exchange.interruption is None or exchange.task is None:
            raise  # the client left
        exchange.task.uncancel()
        error = exchange.interruption
    except ConnectionResetError:
        # Writing to a client that is gone; its handler is being cancelled.
        raise
    except Exception as exc:
        logger.exception("%s failed", exchange.request_id)
        told = f"{type(exc).__name__}: {exc}" if request[POLICY].config.environment == "development" else None
        error = GatewayError("The gateway failed; its log says why, under this request's id.", details=told)
    exchange.error = error
    if exchange.response is not None:
        # Nobody may take half an answer for a whole one; aiohttp adds no end once the connection is closing.
        protocol_of(request).break_off(reset=request.version < (1, 1), seconds=_SEVER_SECONDS)
        return exchange.response
    response = error_response(error, api_style(request), exchange.request_id, redact=exchange.redact)
    if error.closes_connection or not request.content.is_eof():
        # The rest of the body is never read, so no other request can follow on this connection.
        response.force_close()
    return response


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
    request[EXCHANGE].client = head.client
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
    if here.is_own:
        policy.cors.admit_origin(request.headers)
    return await handler(request)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Put on every answer what every answer carries; called just before its head is written."""
    exchange = request.get(EXCHANGE)
    if exchange is None:  # aiohttp's own answer to what is no HTTP
        return
    if exchange.outcome is None:  # else this is the error that it ended with
        exchange.response = response
    finish_headers(response)
    head = request[HEAD]
    if protocol_of(request).is_ending or head.asks_for_another_protocol:
        response.force_close()
        response.headers["Connection"] = "close"
    response.headers["X-Request-Id"] = exchange.request_id
    for name, value in head.cors_fields(proxied=place(request.path).for_pages).items():
        response.headers.add(name, value)  # beside a Vary of LM Studio's


MIDDLEWARES = (observe, render_errors, allow_networks, require_key)
