"""Health, the pages and the document. Most need no key."""

from __future__ import annotations

from aiohttp.typedefs import Handler

from ...errors import NotFound
from .. import dashboard, docs, health
from ..page_files import CONTENT_TYPES
from . import examples
from .operation import Answer, Body, Operation, Parameter, answer

HEALTH_TAG, PAGES_TAG = "Health", "Pages"

KNOWN = Parameter(
    name="If-None-Match",
    place="header",
    description="The ETag of what the client has already.",
    example='"0"',
)


def file_answers(*bodies: Body) -> dict[int, Answer]:
    """Return the answers of a path that serves a file."""
    return {
        200: answer("The file.", *bodies, ETag="Names this version of it.", Cache_Control="`no-cache`"),
        304: answer("The client has it already.", ETag="As it was sent."),
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
        summary=f"Lead to `{path}`",
        answers={307: answer("It is there.", Location=f"`..{path}`")},
    )


PAGE_OPERATIONS = (
    Operation(
        "GET",
        "/health",
        health.health,
        scope="health",
        tag=HEALTH_TAG,
        summary="Tell that the gateway lives",
        description="Whether it needs the key is up to `auth.require_for_health`.",
        answers={200: answer("It lives.", examples.HEALTH)},
    ),
    Operation(
        "GET",
        "/health/ready",
        health.ready,
        scope="observe",
        tag=HEALTH_TAG,
        summary="Tell whether LM Studio answers",
        answers={
            200: answer("It answers.", examples.READY),
            503: answer("It doesn't.", examples.NOT_READY),
        },
    ),
    Operation(
        "GET",
        "/",
        health.root,
        scope="open",
        tag=HEALTH_TAG,
        summary="Tell which server this is",
        answers={200: answer("Its name and its pages.", examples.ROOT)},
    ),
    page("/dashboard", "Show the dashboard", dashboard.page),
    page_with_slash("/dashboard"),
    Operation(
        "GET",
        "/dashboard/access",
        dashboard.access,
        scope="open",
        tag=PAGES_TAG,
        summary="Tell whether a page has to ask for a key",
        answers={200: answer("Whether.", examples.ACCESS)},
    ),
    Operation(
        "GET",
        "/dashboard/static/{name:.+}",
        dashboard.static,
        scope="open",
        tag=PAGES_TAG,
        summary="Send a file of the pages",
        parameters=(
            Parameter(
                name="name", place="path", description="Its path; it may have slashes.", example="base.css"
            ),
            KNOWN,
        ),
        answers=file_answers(*(Body(media_type=kind, example="…") for kind in CONTENT_TYPES)),
        raises=(NotFound,),
    ),
    page("/docs", "Show this document", docs.page),
    page_with_slash("/docs"),
    Operation(
        "GET",
        "/openapi.json",
        docs.document,
        scope="open",
        tag=PAGES_TAG,
        summary="Send this document",
        description="It tells of this gateway as it is configured now.",
        parameters=(KNOWN,),
        answers=file_answers(Body(example={"openapi": "3.1.1"})),
    ),
)
