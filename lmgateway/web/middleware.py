"""What every request passes on its way to a handler, outermost first."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import struct

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.typedefs import Handler

from ..access.cors import is_preflight
from ..errors import BadRequest, Forbidden, GatewayError, MethodNotAllowed, NotFound
from ..networks import parse_address
from ..observe import access_log
from ..observe.exchange import Exchange, make_request_id
from ..policy import Policy
from ..state import EXCHANGE, POLICIES, POLICY
from .answers import error_response, finish_headers
from .connection import Connection
from .places import api_style, is_below, is_for_pages

logger = logging.getLogger(__name__)

# How long a client may take for what was sent before its answer broke off.
_SEVER_SECONDS = 5
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_VERSIONS = (HttpVersion11, HttpVersion10)
_SANE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}\Z")


def _request_id(request: web.Request, policy: Policy) -> str:
    sent = request.headers.get("X-Request-Id", "")
    is_sane = _SANE_ID.match(sent) and not policy.guard.keys.occurs_in(sent)
    return sent if is_sane else make_request_id()


@web.middleware
async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request its id, and write its access line when it has ended, however it ends."""
    policy = request[POLICY] = request.app[POLICIES].current
    exchange = Exchange(
        request_id=_request_id(request, policy),
        client=request.remote or "",
        method=request.method,
        path=policy.guard.keys.redact(request.path),
    )
    request[EXCHANGE] = exchange
    exchange.task = asyncio.current_task()
    try:
        response = await handler(request)
        exchange.status = response.status
        return response
    finally:
        access_log.write(exchange)
        exchange.release()


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
        return _sever(request, exchange.response)
    redact = request[POLICY].guard.keys.redact
    response = error_response(error, api_style(request), exchange.request_id, redact=redact)
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
    exchange, policy = request[EXCHANGE], request[POLICY]
    if not exchange.client:
        raise Forbidden("Forbidden: the connection has no address.")
    exchange.client = str(policy.guard.admit_address(parse_address(exchange.client), request.headers))
    if request.version not in _VERSIONS:
        raise BadRequest("HTTP/1.1 and HTTP/1.0 are understood here.")
    hosts = request.headers.getall("Host", ())
    if len(hosts) != 1 and (hosts or request.version >= (1, 1)):
        raise BadRequest("A request has exactly one Host header (RFC 9112 section 3.2).")
    codings = request.headers.getall("Transfer-Encoding", ("chunked",))
    if [coding.strip().lower() for coding in codings] != ["chunked"]:
        raise BadRequest("The only transfer coding that is understood here is chunked.")
    for host in hosts:  # none in HTTP/1.0, which no browser speaks
        policy.guard.admit_host(host)
    if is_preflight(request.method, request.headers):
        granted = policy.cors.preflight_headers(request.headers, proxied=is_for_pages(request.path))
        return web.Response(status=204, headers=granted)
    return await handler(request)


@web.middleware
async def require_key(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let in only who has the key, and no other site's page that wants to change something."""
    policy, path = request[POLICY], request.path
    guard = policy.guard
    # The dashboard's files are no secret; its data is below /debug and /admin.
    is_open = path == "/" or is_below(path, "/dashboard") or (path == "/health" and guard.health_is_open)
    if not is_open:
        guard.admit_key(request.headers)
    if is_below(path, "/admin", "/debug", "/metrics"):
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
    # What came in behind a request for another protocol is lost in aiohttp; it keeps it for websockets only.
    is_last = isinstance(request.protocol, Connection) and request.protocol.is_ending
    if is_last or request.headers.get("Upgrade", "websocket").lower() != "websocket":
        response.force_close()
        response.headers["Connection"] = "close"
    response.headers["X-Request-Id"] = exchange.request_id
    origin, cors = request.headers.get("Origin"), request[POLICY].cors
    for name, value in cors.response_headers(origin, proxied=is_for_pages(request.path)).items():
        response.headers.add(name, value)  # beside a Vary of LM Studio's


MIDDLEWARES = (observe, render_errors, allow_networks, require_key)
