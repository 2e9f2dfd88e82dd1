"""Converts the errors of handlers and streams to responses and events."""

from aiohttp import web
from aiohttp.typedefs import Handler

from ..engine.faults import ContextOverflow, Fault
from ..keys import STUDIO
from .errors import ApiError, as_api_error, error_body
from .express import json_response
from .overflow import refusal


@web.middleware
async def render_faults(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Fault as fault:
        error = translated(fault, request)
    except ApiError as refused:
        error = refused
    except web.HTTPRequestEntityTooLarge as too_large:
        error = ApiError(413, too_large.text or too_large.reason)
    return json_response(error_body(request.path, error), error.status)


def translated(fault: Fault, request: web.Request, *, stream: bool = False) -> ApiError:
    """Return the API's error for a fault."""
    if isinstance(fault, ContextOverflow):
        return refusal(fault, request.app[STUDIO].switches.overflow, request.path, stream=stream)
    return as_api_error(fault)
