"""The operations below /debug, and Prometheus' one."""

from __future__ import annotations

import msgspec

from ...errors import NotFound, Overloaded, ValidationFailed
from ...observe.sse import sse_frame
from .. import debug
from . import examples
from .operation import EVENT_STREAM, Body, Operation, Parameter, answer

TAG = "What happens"


def _stream_example() -> str:
    connected = debug.Connected(timestamp=examples.NOW, message="Listening to the gateway's events")
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
        summary="Follow what happens as it happens",
        description=(
            "Server-Sent Events without an end. Each but the first has a number as its `id`; a comment comes "
            "after every 30 s of silence. A reader that is too slow loses the oldest events, and is told how "
            "many."
        ),
        parameters=(
            Parameter(
                name="types",
                place="query",
                description="Only events of these names.",
                example="inference_start,inference_complete",
                listed=debug.EVENT_NAMES,
            ),
            Parameter(
                name="Last-Event-ID",
                place="header",
                description=(
                    "Begin with what happened after this number, as far as it is still known; without it, "
                    "with what happens from now on."
                ),
                example="41",
            ),
        ),
        answers={
            200: answer(
                "The events.",
                Body(media_type=EVENT_STREAM, example=_stream_example(), events=debug.EVENT_KINDS),
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
        summary="Tell what is being done now",
        answers={200: answer("The state, and the last ten requests.", examples.STATUS)},
    ),
    Operation(
        "GET",
        "/debug/metrics",
        debug.metrics,
        scope="observe",
        tag=TAG,
        summary="Tell times, token counts and rates",
        answers={200: answer("Of the last 100 requests.", examples.METRICS)},
    ),
    Operation(
        "GET",
        "/debug/requests",
        debug.requests,
        scope="observe",
        tag=TAG,
        summary="List the requests that run and ran",
        answers={200: answer("They, and the speeds of the last hour.", examples.REQUESTS)},
    ),
    Operation(
        "DELETE",
        "/debug/requests/{request_id}",
        debug.cancel_request,
        scope="admin",
        tag=TAG,
        summary="End a running request",
        description="LM Studio stops, and the client gets an error.",
        parameters=(
            Parameter(
                name="request_id",
                place="path",
                description="Its id, as `X-Request-Id` and `/debug/requests` tell it.",
                example=examples.REQUEST_ID,
            ),
        ),
        answers={200: answer("It is ended.", examples.REQUEST_CANCELLED)},
        raises=(NotFound,),
    ),
    Operation(
        "GET",
        "/metrics",
        debug.prometheus,
        scope="observe",
        tag=TAG,
        summary="Tell Prometheus",
        answers={
            200: answer(
                "Prometheus' text format, version 0.0.4.",
                Body(media_type="text/plain", example=examples.PROMETHEUS),
            )
        },
    ),
)
