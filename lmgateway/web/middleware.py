"""The middlewares, outermost first, and the headers of every response."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web
from aiohttp.typedefs import Handler

from ..access.cors import PageRefused, is_preflight
from ..errors import BadRequest, GatewayError, MethodNotAllowed, NotFound
from ..observe import access_log
from ..observe.exchange import Cancellation, make_request_id
from ..text import METHOD_CHARACTERS, clean_name
from .admission import admit, identify_caller
from .context import RequestContext
from .downstream import Downstream
from .responses import finish_headers
from .state import CONTEXT, OWNERS

logger = logging.getLogger(__name__)


@web.middleware
async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Assign the request id, render the error that ends a request, and log the access line.

    A middleware of its own for the errors would take 2,000 instructions more.
    """
    owners, client = request.app[OWNERS], request.remote or ""
    rules = owners.rules_in_force.current
    head = rules.head(client, request.version, request.raw_headers)
    cancellation = Cancellation(request.task.cancel)
    context = request[CONTEXT] = RequestContext(
        owners=owners,
        rules=rules,
        head=head,
        area=owners.areas.of(request),
        request_id=head.request_id or make_request_id(),
        client=client,
        method=request.method[:METHOD_CHARACTERS],
        path=head.shown_path(request.path),
        cancellation=cancellation,
        end=cancellation.interrupt,
        downstream=Downstream(request),
    )
    context.downstream.on_begin = context.begin_response
    response = None
    try:
        response = await handler(request)
    except (Exception, asyncio.CancelledError) as exc:
        response = _rendered(request, exc)
        if response is None:
            raise
    finally:
        try:
            access_log.write(context.access_line(response))
        except Exception:  # a fault of the log fails no request
            owners.activity.faults.log("Writing the access log")
        context.downstream.close()
    return response


def _rendered(request: web.Request, exc: BaseException) -> web.StreamResponse | None:
    """Return the error response, or the response whose head was sent already, broken off.

    None if the exception says that the client has disconnected.
    """
    context = request[CONTEXT]
    match exc:
        case GatewayError():
            return _failed(request, exc)
        case web.HTTPException():
            return _failed(request, _from_router(exc))
        case asyncio.CancelledError() if (error := context.cancellation.error) is not None:
            request.task.uncancel()
            return _failed(request, error)
        case asyncio.CancelledError() | ConnectionResetError():  # of a write; aiohttp cancels the handler
            return None
    logger.error("%s failed", context.request_id, exc_info=exc)
    cause = f"{type(exc).__name__}: {exc}"
    details = cause if context.rules.config.environment == "development" else None
    message = "The gateway failed; its log says why, under this request's id."
    return _failed(request, GatewayError(message, details=details))


def _failed(request: web.Request, error: GatewayError) -> web.StreamResponse:
    context = request[CONTEXT]
    context.error_code = error.code
    style = context.area.error_style(request.headers)
    return context.downstream.fail(error, style, context.request_id, context.head.redaction)


def _from_router(exc: web.HTTPException) -> GatewayError:
    if isinstance(exc, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(exc.allowed_methods))
        return MethodNotAllowed(
            f"This path doesn't support {exc.method}; use {allowed}.", headers={"Allow": allowed}
        )
    if isinstance(exc, web.HTTPNotFound):
        return NotFound("There is nothing at this path.")
    return BadRequest(exc.reason)


@web.middleware
async def authorize(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Reject clients outside the allowed networks, callers without the needed scope, and forbidden origins.

    Preflights are answered here, because they can't carry a key. A request is ended if its caller's key ends.
    """
    context = request[CONTEXT]
    rules, head, area = context.rules, context.head, context.area
    context.client = head.client
    head.check_framing()
    if is_preflight(request.method, request.headers):
        return _answer_preflight(request, context)
    known = head.admitted(area)
    caller = context.caller = known or identify_caller(head, rules, area)
    judge, judges = context.end_if_revoked, context.owners.rules_in_force.judges
    try:
        if known is None:
            admit(caller, head, area)
            head.remember(caller, area)
        if caller.is_named:
            context.owners.keys.uses.add(caller.name, context.client)
            judges.add(judge)
        return await handler(request)
    except GatewayError as exc:
        if isinstance(exc, PageRefused):
            _log_refused_page(context, request.headers.get("Origin"))
        if area.is_proxied and not context.has_exchange:
            context.owners.ledger.refused(caller.name)
        raise
    finally:
        judges.discard(judge)


def _answer_preflight(request: web.Request, context: RequestContext) -> web.Response:
    granted = context.rules.cors.preflight_headers(request.headers, proxied=context.area.is_for_pages)
    if not granted:
        context.error_code = PageRefused.code
        _log_refused_page(context, request.headers["Origin"])
    return web.Response(status=204, headers=granted)


def _log_refused_page(context: RequestContext, origin: str | None) -> None:
    # The browser shows its user only that the request failed, so the reason is logged.
    shown = clean_name(origin or "unknown origin", context.head.redaction.redact)
    logger.info("%s: a page of %s was refused; add its origin to cors.origins", context.client, shown)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Set the headers of a response that isn't relayed; called just before its head is written."""
    context = request.get(CONTEXT)
    if context is not None:  # else it is aiohttp's own response to malformed HTTP
        finish_headers(response)
        context.begin_response(request, response)


MIDDLEWARES = (observe, authorize)
