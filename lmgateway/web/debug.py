"""The handlers of /debug and /metrics: the event stream, reports, and Prometheus' text format."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import msgspec
from aiohttp import web
from aiohttp_sse import EventSourceResponse, sse_response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from ..aiohttp_private.server_protocol import protocol_of
from ..boxes.log import events as log_events
from ..errors import GatewayError, Mistake, NotFound, ValidationFailed
from ..observe import events
from ..observe.event_stream import Subscription
from ..observe.events import Event
from ..observe.report import metrics_report, requests_report, status_report
from ..observe.sse import sse_frame
from ..schema.debug import CancelledRequest
from .admission import admit_again
from .responses import json_response
from .ruleset import Ruleset
from .state import (
    ACTIVE_MODELS,
    ACTIVITY,
    CONTEXT,
    DATABASE,
    EVENTS,
    FLEET,
    METRICS,
    MODEL_LABELS,
    RULES_IN_FORCE,
    STARTED,
    TURNS,
)
from .validation import MAX_MISTAKES, suggestion

logger = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 30
SEND_SECONDS = 30
# How long a reader that isn't admitted any more may take for the events that are being sent to it.
CUT_SECONDS = 0.5
# Of the kernel, for a reader that doesn't read. It also limits how fast a distant one can read.
SEND_BUFFER_BYTES = 64 * 1024
_DISABLED = 365 * 86400
_EVENT_NUMBER = re.compile(r"[0-9]{1,18}\Z")


class Connected(Event, frozen=True, kw_only=True):
    """The first event of every stream."""

    name = "connected"
    message: str


class Lagged(Event, frozen=True, kw_only=True):
    """The client reads too slowly, and lost `missed` events."""

    name = "lagged"
    missed: int


EVENT_KINDS: tuple[type[Event], ...] = (
    Connected,
    Lagged,
    events.ModelLoadStart,
    events.ModelLoadProgress,
    events.ModelLoadComplete,
    events.ModelUnloadStart,
    events.ModelUnloadComplete,
    events.ModelActivate,
    events.InferenceStart,
    events.InferenceComplete,
    events.ErrorEvent,
    events.KeyChanged,
    log_events.DebugLog,
    log_events.ChatStart,
    log_events.ProcessingStart,
    log_events.SamplingParams,
    log_events.PromptProgress,
    log_events.CacheStats,
    log_events.TokenInfo,
    log_events.MonthTransition,
)
EVENT_NAMES = tuple(kind.name for kind in EVENT_KINDS)


async def stream(request: web.Request) -> web.StreamResponse:
    """Send events until the client disconnects or the gateway stops.

    `types` selects kinds of events. Last-Event-ID replays the events after that one that are still in the
    history. Raises ValidationFailed, Overloaded.
    """
    names = _requested_names(request.query.getall("types", ()))
    last = request.headers.get("Last-Event-ID", "")
    after = int(last) if _EVENT_NUMBER.match(last) else None
    publisher, context = request.app[EVENTS], request[CONTEXT]
    protocol_of(request).limit_send_buffer(SEND_BUFFER_BYTES)
    with (
        publisher.admitted(context.client, context.rules.config.limits),
        publisher.subscribe(names, after=after) as subscription,
        _as_long_as_admitted(request, subscription),
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
def _as_long_as_admitted(request: web.Request, subscription: Subscription) -> Iterator[None]:
    """End the stream if a reload takes away its reader's right to it.

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
            admit_again(request, rules)
        except GatewayError as error:
            end(error)

    context.end = end
    try:
        with request.app[RULES_IN_FORCE].judged_by(judge):
            yield
    finally:
        if cutting is not None:
            cutting.cancel()


def _requested_names(lists: Iterable[str]) -> frozenset[str]:
    """Return the event names in comma-separated lists. Raises ValidationFailed for an unknown name."""
    names = frozenset(filter(None, map(str.strip, ",".join(lists).split(","))))
    if unknown := sorted(names.difference(EVENT_NAMES)):
        details = [
            Mistake(path="types", message=f"Unknown event; {suggestion(name, EVENT_NAMES)}")
            for name in unknown[:MAX_MISTAKES]
        ]
        raise ValidationFailed("Validation failed", details=details)
    return names


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


async def cancel_request(request: web.Request) -> web.Response:
    request_id = request.match_info["request_id"]
    if not request.app[ACTIVITY].cancel(request_id):
        raise NotFound(f"No request with the id {request_id} is running.")
    return json_response(CancelledRequest(request_id=request_id))


async def prometheus(request: web.Request) -> web.Response:
    app, events = request.app, request.app[EVENTS]
    app[ACTIVITY].flush()
    await app[MODEL_LABELS].settle_by_newer_list()
    pieces = app[METRICS].render(
        in_flight=len(app[ACTIVITY].running),
        reachable=app[FLEET].only.health.answered,
        subscribers=events.subscribers,
        lost_events=events.lost,
        storage_errors=app[DATABASE].errors,
    )
    text = bytearray()
    for piece in pieces:
        text += piece
        await app[TURNS].next()
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


def _frame(event: Event) -> bytes:
    return sse_frame(event.name, msgspec.json.encode(event))
