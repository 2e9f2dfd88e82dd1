"""A proxied request, stage by stage: read → plan → deliver (admit → address → send → judge) → relay → record.

Each stage takes a value and returns the next one. The record is made when the exchange is left.
"""

from __future__ import annotations

import asyncio
from itertools import count

from aiohttp import web

from ..boxes.box import Box
from ..boxes.fleet import Fleet
from ..boxes.http.client import Outgoing
from ..boxes.http.response import UpstreamResponse
from ..errors import GatewayError, MethodNotAllowed
from ..observe.exchange import OTHER_ROUTE, Exchange
from ..traffic import target
from ..traffic.judge import judge
from ..traffic.plan import Incoming, Plan, RelayOptions, plan
from ..traffic.rewrite import DIALECTS, Dialect
from .relay import relay
from .request_bodies import Upload
from .state import ACTIVE_MODELS, ACTIVITY, CONTEXT, FLEET, HEAD, RULES

# RFC 9110 section 15.5.6 requires some to be named; these are the usual ones of all that pass.
_ALLOWED = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
# How long a box that refused a connection gets to listen again.
RETRY_PAUSE_SECONDS = 0.2


async def proxy(request: web.Request) -> web.StreamResponse:
    if request.method in {"CONNECT", "TRACE"}:
        raise MethodNotAllowed(f"{request.method} is not for a gateway.", headers={"Allow": _ALLOWED})
    destination = target.parse(request.raw_path)
    dialect = DIALECTS.get(destination.path) if request.method == "POST" else None
    context, activity = request[CONTEXT], request.app[ACTIVITY]
    activity.admit(request[RULES].config.limits.requests)
    exchange = context.exchange(
        route=OTHER_ROUTE if dialect is None else destination.path,
        generates=dialect is not None and dialect.generates,
    )
    with activity.exchange(exchange):
        response, options = await _obtain(request, destination, dialect, exchange)
        return await relay(response, options, exchange, context.downstream)


async def _obtain(
    request: web.Request, destination: target.Target, dialect: Dialect | None, exchange: Exchange
) -> tuple[UpstreamResponse, RelayOptions]:
    """Run the stages up to LM Studio's response. The body, which may be large, is freed with this frame."""
    app, rules = request.app, request[RULES]
    incoming = await read(request, destination, dialect)
    planned = plan(incoming, app[ACTIVE_MODELS].current, rules.profiles.defaults, rules.config.proxy)
    exchange.resolved(planned.model, stream=planned.streaming)
    app[ACTIVITY].announce(exchange)
    return await deliver(planned, app[FLEET]), planned.relay


async def read(request: web.Request, destination: target.Target, dialect: Dialect | None) -> Incoming:
    """Return the request, with its body if something may be filled into it. Raises as Upload.read."""
    headers, limits = request[HEAD].for_upstream(), request[RULES].config.proxy
    body: bytes | Upload | None = None
    if dialect is not None:
        body = await Upload(request, limits.max_body_bytes).read()
    else:
        upload = Upload(request, limits.max_upload_bytes)
        if (length := request.headers.get("Content-Length")) is not None:
            headers["Content-Length"] = length
        if request.body_exists:
            body = upload
    return Incoming(request.method, destination, headers, dialect, body)


async def deliver(planned: Plan, fleet: Fleet) -> UpstreamResponse:
    """Return LM Studio's response as soon as its head is there. The caller closes it.

    Raises UpstreamUnavailable, UpstreamSilent, UpstreamBroke, and what broke off the client's upload.
    """
    for rounds in count(1):
        box = admit(fleet)
        response, failure = await send(box, address(planned, box), planned)
        match judge(failure, rounds):
            case "pass on" if response is not None:
                return response
            case "send again":
                await asyncio.sleep(RETRY_PAUSE_SECONDS)
            case _ if failure is not None:
                raise failure
    raise AssertionError("judge ends the rounds")


def admit(fleet: Fleet) -> Box:
    """Return the box that the request goes to."""
    return fleet.only


def address(planned: Plan, box: Box) -> Outgoing:
    """Return the request as it goes to this box, with the box's token."""
    body = planned.body
    parts = body if body is None or isinstance(body, bytes) else body.chunks()
    return box.http.address(planned.method, planned.target, planned.headers, parts)


async def send(
    box: Box, outgoing: Outgoing, planned: Plan
) -> tuple[UpstreamResponse | None, GatewayError | None]:
    """Return the box's response, or why there is none."""
    try:
        return await box.http.send(outgoing, silence=planned.silence_seconds), None
    except GatewayError as exc:
        # What looks like LM Studio's failure may be the upload's.
        upload = None if isinstance(planned.body, bytes) else planned.body
        return None, exc if upload is None or upload.failure is None else upload.failure
