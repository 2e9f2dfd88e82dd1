"""The handlers of /debug and /metrics: the event stream, reports, and Prometheus' text format."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import msgspec
from aiohttp import web
from aiohttp_sse import EventSourceResponse, sse_response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from ..aiohttp_private.server_protocol import protocol_of
from ..boxes.overview import answers
from ..errors import GatewayError, NotFound, RequestCancelled
from ..observe.event_stream import Subscription
from ..observe.events import Event
from ..observe.report import metrics_report, requests_report, status_report
from ..observe.sse import sse_frame
from ..schema.debug import CancelledRequest
from ..schema.keys import KeyLimits, KeyStanding, LimitsReport
from ..text import clean_name
from .admission import admit_again
from .event_kinds import Connected, Lagged, readable_names, requested_names
from .responses import json_response
from .ruleset import Ruleset
from .state import (
    ACTIVE_MODELS,
    ACTIVITY,
    CONTEXT,
    DATABASE,
    EVENTS,
    FLEET,
    KEYS,
    LINE_REPORTS,
    METRICS,
    MODEL_LABELS,
    QUEUE_METRICS,
    RATE_LIMITS,
    RULES_IN_FORCE,
    SCHEDULER,
    STARTED,
    TURNS,
)

logger = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 30
SEND_SECONDS = 30
# How long a reader that isn't admitted any more may take for the events that are being sent to it.
CUT_SECONDS = 0.5
# Of the kernel, for a reader that doesn't read. It also limits how fast a distant one can read.
SEND_BUFFER_BYTES = 64 * 1024
_DISABLED = 365 * 86400
_EVENT_NUMBER = re.compile(r"[0-9]{1,18}\Z")


async def stream(request: web.Request) -> web.StreamResponse:
    """Send events until the client disconnects or the gateway stops.

    `types` selects kinds of events. Last-Event-ID replays the events after that one that are still in the
    history. Raises ValidationFailed, Overloaded, ScopeMissing.
    """
    requested = requested_names(request.query.getall("types", ()))
    last = request.headers.get("Last-Event-ID", "")
    after = int(last) if _EVENT_NUMBER.match(last) else None
    publisher, context = request.app[EVENTS], request[CONTEXT]
    protocol_of(request).limit_send_buffer(SEND_BUFFER_BYTES)
    with (
        publisher.admitted(context.client, context.rules.config.limits),
        publisher.subscribe(readable_names(requested, context.caller), after=after) as subscription,
        _as_long_as_admitted(request, subscription, requested),
    ):
        # aiohttp-sse's own pings are off: it sends them even while events are being sent.
        async with sse_response(
            request, sep="\n", ping_interval=_DISABLED, send_timeout=SEND_SECONDS
        ) as response:
            try:
                await _send_events(response, subscription)
            except TimeoutError:
                logger.info("%s stopped reading events: its connection was aborted", context.client)
                protocol_of(request).abort()
        return response


@contextmanager
def _as_long_as_admitted(
    request: web.Request, subscription: Subscription, requested: frozenset[str]
) -> Iterator[None]:
    """End the stream if its reader loses the right to it, or limit it to the events that are left.

    A reader that keeps up gets a complete response, and the reason when it reconnects.
    """
    context, loop = request[CONTEXT], asyncio.get_running_loop()
    cutting: asyncio.TimerHandle | None = None

    def end(error: GatewayError) -> None:
        nonlocal cutting
        if cutting is None:
            context.error_code = error.code
            subscription.cut()
            cutting = loop.call_later(CUT_SECONDS, context.cancellation.interrupt, error)
            logger.info("%s may no longer read events: %s", context.client, error.message)

    def judge(rules: Ruleset) -> None:
        try:
            subscription.select(readable_names(requested, admit_again(request, rules)))
        except GatewayError as error:
            end(error)

    context.end = end
    judges = request.app[RULES_IN_FORCE].judges
    judges.add(judge)
    try:
        yield
    finally:
        judges.discard(judge)
        if cutting is not None:
            cutting.cancel()


async def _send_events(response: EventSourceResponse, subscription: Subscription) -> None:
    """Send events, and a comment after each long silence. Raises TimeoutError if the client stops reading."""
    missed = subscription.take_missed()  # while it was disconnected
    await _send(response, _frame(Connected(message="Listening to the gateway's events")) + _lagged(missed))
    while True:
        try:
            async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                batch = await subscription.next()
        except TimeoutError:
            await _send(response, b": still here\n\n")
            continue
        if batch is None:
            return
        if missed := subscription.take_missed():
            await _send(response, _lagged(missed))
        for piece in batch.pieces():
            await _send(response, piece)
        del batch  # free its memory while waiting for the next one


def _lagged(missed: int) -> bytes:
    return _frame(Lagged(missed=missed)) if missed else b""


async def _send(response: EventSourceResponse, frames: bytes) -> None:
    async with asyncio.timeout(SEND_SECONDS):
        await response.write(frames)


async def status(request: web.Request) -> web.Response:
    app = request.app
    return json_response(status_report(app[ACTIVITY], app[ACTIVE_MODELS].current.active_model))


async def metrics(request: web.Request) -> web.Response:
    app = request.app
    return json_response(metrics_report(app[ACTIVITY], app[ACTIVE_MODELS].current.active_model, app[STARTED]))


async def requests(request: web.Request) -> web.Response:
    return json_response(requests_report(request.app[ACTIVITY]))


async def queue(request: web.Request) -> web.Response:
    return json_response(request.app[LINE_REPORTS].report())


async def limits(request: web.Request) -> web.Response:
    app = request.app
    running = Counter(lease.ticket.group.account.key for lease in app[SCHEDULER].line.running.values())
    standings = []
    for name, key in sorted(app[KEYS].ring.keys.items()):
        if key.settings.limits != KeyLimits():
            used, left = app[RATE_LIMITS].used_and_left(name)
            standings.append(
                KeyStanding(key=name, limits=key.settings.limits, used=used, left=left, running=running[name])
            )
    return json_response(LimitsReport(keys=tuple(standings)))


async def cancel_request(request: web.Request) -> web.Response:
    """Cancel a request of the caller's own key, or with the scope `admin` any request."""
    request_id, caller = request.match_info["request_id"], request[CONTEXT].caller
    running = request.app[ACTIVITY].find(request_id)
    own = running if caller.has("admin") else [one for one in running if one.key == caller.name]
    if running and not own:
        caller.require("admin")
    if not own:
        raise NotFound(f"No request with the id {clean_name(request_id)} is running.")
    for exchange in own:
        exchange.cancellation.interrupt(RequestCancelled("The request was cancelled at the gateway."))
    return json_response(CancelledRequest(request_id=request_id))


async def prometheus(request: web.Request) -> web.Response:
    app, events = request.app, request.app[EVENTS]
    app[ACTIVITY].flush()
    await app[MODEL_LABELS].settle_by_newer_list()
    pieces = app[METRICS].render(
        in_flight=len(app[ACTIVITY].running),
        reachable={box.name: answers(box) for box in app[FLEET].boxes},
        subscribers=events.subscribers,
        lost_events=events.lost,
        storage_errors=app[DATABASE].errors,
    )
    text = bytearray()
    for piece in chain(pieces, app[QUEUE_METRICS].render(app[LINE_REPORTS].figures())):
        text += piece
        await app[TURNS].next()
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


def _frame(event: Event) -> bytes:
    return sse_frame(event.name, msgspec.json.encode(event))
