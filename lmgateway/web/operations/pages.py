"""The operations of /health, the pages and the OpenAPI document. Most need no key."""

from __future__ import annotations

from aiohttp.typedefs import Handler

from ...errors import NotFound
from .. import dashboard, docs, health
from ..page_files import CONTENT_TYPES
from . import examples
from .error_kinds import OF_JSON_BODIES
from .operation import Answer, Body, Operation, Parameter, answer, json_of

HEALTH_TAG, PAGES_TAG = "Health", "Pages"

KNOWN = Parameter(
    name="If-None-Match",
    place="header",
    description="The `ETag` of the client's copy. If that is current, the response is a 304.",
    example='"0"',
)


def file_answers(*bodies: Body) -> dict[int, Answer]:
    """Return the responses of a path that serves a file."""
    return {
        200: answer("The file itself.", *bodies, ETag="The version of the file.", Cache_Control="`no-cache`"),
        304: answer("No file: the client's copy is current.", ETag="The version of the file."),
    }


def page(path: str, summary: str, handler: Handler) -> Operation:
    """Return the operation of an HTML page."""
    return Operation(
        "GET",
        path,
        handler,
        scope="open",
        tag=PAGES_TAG,
        summary=summary,
        parameters=(KNOWN,),
        answers=file_answers(Body(media_type="text/html", example="<!doctype html>…")),
    )


def page_with_slash(path: str) -> Operation:
    return Operation(
        "GET",
        f"{path}/",
        dashboard.to_page,
        scope="open",
        tag=PAGES_TAG,
        summary=f"Redirect to `{path}`",
        answers={307: answer("A redirect to the path without the slash.", Location=f"`..{path}`")},
    )


PAGE_OPERATIONS = (
    Operation(
        "GET",
        "/health",
        health.health,
        scope="health",
        tag=HEALTH_TAG,
        summary="Check that the gateway is running",
        description="It requires a key only if `auth.require_for_health` is set.",
        answers={200: answer("The time, and how long the gateway has run.", examples.HEALTH)},
    ),
    Operation(
        "GET",
        "/health/ready",
        health.ready,
        scope="observe",
        tag=HEALTH_TAG,
        summary="Check that LM Studio answers",
        answers={
            200: answer("LM Studio answers. `latencyMs` is how long it took.", examples.READY),
            503: answer("LM Studio doesn't answer.", examples.NOT_READY),
        },
    ),
    Operation(
        "GET",
        "/",
        health.root,
        scope="open",
        tag=HEALTH_TAG,
        summary="Identify the server",
        description="A client that prefers `text/html` to JSON, as a browser does, is redirected.",
        answers={
            200: answer("The server's name, and the paths of its pages.", examples.ROOT, Vary="`Accept`"),
            307: answer("A redirect to the dashboard.", Location="`dashboard`", Vary="`Accept`"),
        },
    ),
    page("/dashboard", "Show the dashboard", dashboard.page),
    page_with_slash("/dashboard"),
    Operation(
        "GET",
        "/dashboard/access",
        dashboard.access,
        scope="open",
        tag=PAGES_TAG,
        summary="Check whether the API requires a key",
        answers={200: answer("`keyNeeded` is true if the API requires a key.", examples.ACCESS)},
    ),
    Operation(
        "POST",
        "/dashboard/qr",
        dashboard.qr_code,
        scope="any",
        tag=PAGES_TAG,
        summary="Make a QR code",
        description=(
            "For the dashboard, which shows addresses and sign-in links to phones. The text may hold a key: "
            "it is not stored or logged."
        ),
        body=json_of(examples.QR),
        answers={
            200: answer(
                "The code as an image.",
                Body(media_type="image/svg+xml", example="<svg …></svg>"),
                Cache_Control="`no-store`",
            )
        },
        raises=OF_JSON_BODIES,
    ),
    Operation(
        "GET",
        "/dashboard/static/{name:.+}",
        dashboard.static,
        scope="open",
        tag=PAGES_TAG,
        summary="Get a file of the pages",
        parameters=(
            Parameter(
                name="name",
                place="path",
                description="The file's path, which may contain slashes.",
                example="base.css",
            ),
            KNOWN,
        ),
        answers=file_answers(*(Body(media_type=kind, example="…") for kind in CONTENT_TYPES)),
        raises=(NotFound,),
    ),
    page("/docs", "Show the API's documentation", docs.page),
    page_with_slash("/docs"),
    Operation(
        "GET",
        "/openapi.json",
        docs.document,
        scope="open",
        tag=PAGES_TAG,
        summary="Get the OpenAPI document",
        description="It describes this gateway with its current configuration.",
        parameters=(KNOWN,),
        answers=file_answers(Body(example={"openapi": "3.1.1"})),
    ),
)
