"""The operations as routes, the document of them all, and the page that shows it."""

from __future__ import annotations

import asyncio
from functools import cache

from aiohttp import web

from ...traffic.rewrite import DIALECTS
from ...traffic.target import PROXIED_PREFIXES
from ..page_files import PageFile, answer_file, page_file, page_files
from ..proxy import proxy
from ..state import POLICY
from .admin_operations import ADMIN_OPERATIONS
from .debug_operations import DEBUG_OPERATIONS
from .document import build
from .operation import JSON, Body, Operation
from .page_operations import KNOWN, PAGE_OPERATIONS, PAGES_TAG, file_answers, page, page_with_slash
from .studio_operations import STUDIO_OPERATIONS


async def send_document(request: web.Request) -> web.Response:
    guard = request[POLICY].guard
    # Made once for each way to be configured; that takes 50 ms, for which nobody else should wait.
    file = await asyncio.to_thread(_document, bool(guard.keys), guard.health_is_open)
    return answer_file(request, file)


async def send_page(request: web.Request) -> web.Response:
    return answer_file(request, page_files()["docs.html"])


OWN_OPERATIONS: tuple[Operation, ...] = (
    *ADMIN_OPERATIONS,
    *DEBUG_OPERATIONS,
    *PAGE_OPERATIONS,
    page("/docs", "Show this document", send_page),
    page_with_slash("/docs"),
    Operation(
        "GET",
        "/openapi.json",
        send_document,
        tag=PAGES_TAG,
        summary="Send this document",
        description="It tells of this gateway as it is configured now.",
        key="open",
        parameters=(KNOWN,),
        answers=file_answers(Body(example={"openapi": "3.1.1"})),
    ),
)
OPERATIONS = (*STUDIO_OPERATIONS, *OWN_OPERATIONS)


@cache
def _document(key_needed: bool, health_is_open: bool) -> PageFile:
    return page_file(build(OPERATIONS, key_needed=key_needed, health_is_open=health_is_open), JSON)


def add_routes(router: web.UrlDispatcher) -> None:
    for operation in OWN_OPERATIONS:
        router.add_route(operation.method, operation.path, operation.handler)
        if operation.method == "GET":
            router.add_route("HEAD", operation.path, operation.handler)
    for path in DIALECTS:  # found without a search
        router.add_route("*", path, proxy)
    for prefix in PROXIED_PREFIXES:
        # {tail} matches any path, so that the exact bytes are judged in one place, traffic/target.py.
        for path in (prefix, prefix + "/{tail:(?s:.*)}"):
            router.add_route("*", path, proxy)
