"""A proxied request, stage by stage: read → plan → deliver (admit → address → send → judge) → relay → record.

Each stage takes a value and returns the next one. The record is made when the `exchange` block is left.
"""

from __future__ import annotations

from aiohttp import web

from ..errors import MethodNotAllowed
from ..observe.exchange import OTHER_ROUTE
from ..traffic import target
from ..traffic.dialects import DIALECTS, Dialect
from ..traffic.long_body import SHORT_BYTES, LongBody
from ..traffic.plan import Incoming, plan
from .context import RequestContext
from .count_tokens import PATH, count_tokens
from .delivery import deliver
from .held_bodies import HeldBody
from .key_limits import take_turn
from .relay import relay
from .request_bodies import Upload, find_members
from .state import ACTIVE_MODELS, ACTIVITY, CONTEXT, HELD_BODIES, TURNS

# RFC 9110 section 15.5.6 requires a list in a 405. Any method but TRACE and CONNECT is forwarded.
_ALLOWED = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
# The pause before a retry, in which a box that refused a connection may begin to listen.
RETRY_PAUSE_SECONDS = 0.2
# Whatever way its path is spelled.
COUNTING = DIALECTS[PATH]


async def proxy(request: web.Request) -> web.StreamResponse:
    if request.method in {"CONNECT", "TRACE"}:
        raise MethodNotAllowed(f"{request.method} is not for a gateway.", headers={"Allow": _ALLOWED})
    destination = target.parse(request.raw_path)
    dialect = DIALECTS.get(destination.path) if request.method == "POST" else None
    app, context = request.app, request[CONTEXT]
    activity, config = app[ACTIVITY], context.rules.config
    if dialect is COUNTING and config.compat.mend:
        return await count_tokens(request)
    exchange = context.exchange(
        route=OTHER_ROUTE if dialect is None else destination.path,
        generates=dialect is not None and dialect.generates,
    )
    with activity.exchange(exchange, config.limits):
        with HeldBody(app[HELD_BODIES], context.client, config) as held:
            incoming = await read(request, context, destination, dialect, held)
            planned = plan(
                incoming,
                app[ACTIVE_MODELS].current,
                context.rules.profiles.defaults,
                config,
                context.rules.box.refusals.of,
            )
            del incoming  # its body is in memory a second time if parameters were filled in
            exchange.resolved(planned.model, stream=planned.streaming)
            activity.announce(exchange)
            if dialect is not None:
                await take_turn(app, exchange, waits=dialect is not COUNTING)
            delivered = await deliver(planned, context.rules, exchange)
            del planned  # free the body, which may be large, before the response is relayed
        return await relay(delivered, exchange, context.downstream, activity.faults)


async def read(
    request: web.Request,
    context: RequestContext,
    destination: target.Target,
    dialect: Dialect | None,
    held: HeldBody,
) -> Incoming:
    """Return the request. Its body is read and decoded only if parameters may be filled in.

    Raises UnsupportedMediaType for a body that must be read and can't be decoded, and as Upload.read.
    """
    headers, limits = context.head.for_upstream(), context.rules.config.proxy
    body: bytes | LongBody | Upload | None = None
    if dialect is not None:
        upload = Upload(request, limits.max_body_bytes)
        text: bytes | bytearray | None
        if (coding := context.head.content_coding) is not None:
            text = await upload.read(held, coding)
            headers.popall("Content-Encoding", None)
        else:
            text = upload.arrived(held)
            if text is None:
                text = await upload.read(held)
        if isinstance(text, bytes) and len(text) <= SHORT_BYTES:
            body = text
        else:
            body = await find_members(text, request.app[TURNS])
    else:
        upload = Upload(request, limits.max_upload_bytes)
        if (length := request.headers.get("Content-Length")) is not None:
            headers["Content-Length"] = length
        if request.body_exists:
            body = upload
    return Incoming(request.method, destination, headers, dialect, body)
