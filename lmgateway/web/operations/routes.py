"""The table of operations, and the router filled from it."""

from __future__ import annotations

from aiohttp import web

from ...traffic.dialects import DIALECTS
from ...traffic.target import PROXIED_PREFIXES
from ..proxy import proxy
from .admin import ADMIN_OPERATIONS
from .areas import Areas, studio_area
from .boxes import BOX_OPERATIONS
from .debug import DEBUG_OPERATIONS
from .keys import KEY_OPERATIONS
from .operation import Operation
from .pages import PAGE_OPERATIONS
from .studio import STUDIO_OPERATIONS
from .system import SYSTEM_OPERATIONS
from .usage import USAGE_OPERATIONS

OWN_OPERATIONS: tuple[Operation, ...] = (
    *ADMIN_OPERATIONS,
    *BOX_OPERATIONS,
    *KEY_OPERATIONS,
    *USAGE_OPERATIONS,
    *DEBUG_OPERATIONS,
    *SYSTEM_OPERATIONS,
    *PAGE_OPERATIONS,
)
OPERATIONS: tuple[Operation, ...] = (*STUDIO_OPERATIONS, *OWN_OPERATIONS)


def add_routes(router: web.UrlDispatcher, areas: Areas) -> None:
    """Add every route to the router, and its area to `areas`."""
    for operation in OWN_OPERATIONS:
        for method in ("GET", "HEAD") if operation.method == "GET" else (operation.method,):
            areas.add(router.add_route(method, operation.path, operation.handler), operation)
    for path in DIALECTS:  # plain routes, which aiohttp looks up in a dict
        areas.add(router.add_route("*", path, proxy), studio_area(path))
    for prefix in PROXIED_PREFIXES:
        # {tail} matches any path, so that the exact bytes are validated in one place, traffic/target.py.
        for path in (prefix, prefix + "/{tail:(?s:.*)}"):
            router.add_route("*", path, proxy)
    # A doubled slash may be anywhere in the path, even within a prefix.
    router.add_route("*", "/{tail:(?s:/.*|.*//.*)}", proxy)
