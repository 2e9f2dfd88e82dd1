"""The server log's record of each request."""

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from ..engine import log_records
from ..keys import STUDIO


@web.middleware
async def log_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Log a request with its JSON body, before it is answered. The SDK's sockets log their calls."""
    studio = request.app[STUDIO]
    is_socket = "namespace" in request.match_info
    if not is_socket and studio.log.has_readers and not studio.switches.old_log:
        studio.log.write("DEBUG", await _record(request, sensitive=studio.switches.log_sensitive))
    return await handler(request)


async def _record(request: web.Request, *, sensitive: bool) -> str:
    try:
        body = msgspec.json.decode(await request.read())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = None  # there is none, or the handler refuses it
    return log_records.received(request.method, request.path_qs, body, sensitive=sensitive)
