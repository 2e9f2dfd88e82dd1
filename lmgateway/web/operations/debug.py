"""The operations of /debug and /metrics."""

from __future__ import annotations

import msgspec

from ...errors import NotFound, Overloaded, ValidationFailed
from ...observe.sse import sse_frame
from .. import debug, event_kinds
from . import examples
from .operation import EVENT_STREAM, Body, Operation, Parameter, answer

TAG = "Monitoring"


def _stream_example() -> str:
    connected = event_kinds.Connected(timestamp=examples.NOW, message="Listening to the gateway's events")
    frames = [sse_frame(connected.name, msgspec.json.encode(connected))]
    for number, event in enumerate(examples.EVENTS, 41):
        frames.append(sse_frame(event.name, msgspec.json.encode(event), number))
    return b"".join(frames).decode()


DEBUG_OPERATIONS = (
    Operation(
        "GET",
        "/debug/stream",
        debug.stream,
        scope="observe",
        tag=TAG,
        summary="Stream the gateway's events",
        description=(
            "An endless stream of Server-Sent Events. Each event but the first, `connected`, has a number as "
            "its `id`. After 30 s without an event, a comment is sent to keep the connection alive. A client "
            "that reads too slowly loses the oldest events, and gets a `lagged` event with their number. "
            "`debug_log` and the `lmstudio_*` events may hold prompts and answers: they need the scope `log`."
        ),
        parameters=(
            Parameter(
                name="types",
                place="query",
                description="The kinds of events to send; by default all.",
                example="inference_start,inference_complete",
                listed=event_kinds.EVENT_NAMES,
            ),
            Parameter(
                name="Last-Event-ID",
                place="header",
                description=(
                    "The number of the last event that the client has: the later ones are sent again, if "
                    "they are among the last 1,000. By default the stream begins with the next event."
                ),
                example="41",
            ),
        ),
        answers={
            200: answer(
                "The events as they happen.",
                Body(media_type=EVENT_STREAM, example=_stream_example(), events=event_kinds.EVENT_KINDS),
                Cache_Control="`no-cache`",
                X_Accel_Buffering="`no`",
            )
        },
        raises=(Overloaded, ValidationFailed),
    ),
    Operation(
        "GET",
        "/debug/status",
        debug.status,
        scope="observe",
        tag=TAG,
        summary="Get the gateway's status",
        answers={
            200: answer(
                "The status, the current operation, the active model and the last ten requests.",
                examples.STATUS,
            )
        },
    ),
    Operation(
        "GET",
        "/debug/metrics",
        debug.metrics,
        scope="observe",
        tag=TAG,
        summary="Get response times, token counts and error rates",
        answers={
            200: answer(
                "Statistics of the last 100 requests, and of the gateway's process.", examples.METRICS
            )
        },
    ),
    Operation(
        "GET",
        "/debug/requests",
        debug.requests,
        scope="observe",
        tag=TAG,
        summary="List running and recent requests",
        answers={
            200: answer(
                "The running requests, the last 100 that ended, and the last hour's speeds.",
                examples.REQUESTS,
            )
        },
    ),
    Operation(
        "GET",
        "/debug/queue",
        debug.queue,
        scope="observe",
        tag=TAG,
        summary="See who runs and who waits",
        description=(
            "The models in memory and their slots, the requests that wait in line and why, those that run, "
            "and what each key has had of the machine's time. `ahead` and `etaMs` are estimates: a request "
            "of a key that has had less goes first."
        ),
        answers={
            200: answer("The instances, the waiting and running requests, and the keys.", examples.QUEUE)
        },
    ),
    Operation(
        "DELETE",
        "/debug/requests/{request_id}",
        debug.cancel_request,
        scope="inference",
        tag=TAG,
        summary="Cancel a running or waiting request",
        description=(
            "LM Studio stops generating; a request that waits in line never gets there. Its client gets an "
            "error. A key may cancel its own requests, and with the scope `admin` those of others."
        ),
        parameters=(
            Parameter(
                name="request_id",
                place="path",
                description="The request's id, from `X-Request-Id` or `/debug/requests`.",
                example=examples.REQUEST_ID,
            ),
        ),
        answers={200: answer("The id of the request that was cancelled.", examples.REQUEST_CANCELLED)},
        raises=(NotFound,),
    ),
    Operation(
        "GET",
        "/metrics",
        debug.prometheus,
        scope="observe",
        tag=TAG,
        summary="Get the metrics for Prometheus",
        answers={
            200: answer(
                "The metrics in Prometheus' text format, version 0.0.4.",
                Body(media_type="text/plain", example=examples.PROMETHEUS),
            )
        },
    ),
)
