"""The parts of the URL space, and whose habits each follows."""

from __future__ import annotations

from typing import Literal

from aiohttp import web
from msgspec import Struct

from ..caching import cached_for_short
from ..traffic.target import PROXIED_PREFIXES, changes_machine

ApiStyle = Literal["own", "openai", "anthropic"]


class Place(Struct, frozen=True):
    """What is said of a path.

    `needs_no_key`: it holds no secret. `is_own`: only the gateway's own pages may ask here, because others
    could change something. `for_pages`: pages of any origin may be let in, to LM Studio.
    """

    is_proxied: bool
    needs_no_key: bool
    is_own: bool
    for_pages: bool


@cached_for_short
def place(path: str) -> Place:
    """Return what is known of this path; it is decoded, and has no query."""
    is_proxied = is_below(path, *PROXIED_PREFIXES)
    return Place(
        is_proxied=is_proxied,
        # The pages' files are no secret; the dashboard's data is below /debug and /admin.
        needs_no_key=path == "/" or is_below(path, "/dashboard", "/docs", "/openapi.json"),
        is_own=is_below(path, "/admin", "/debug", "/metrics"),
        for_pages=is_proxied and not changes_machine(path.lower()),
    )


def is_below(path: str, *prefixes: str) -> bool:
    """Tell whether the path is one of the prefixes, or lies below one."""
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in prefixes)


def api_style(request: web.Request) -> ApiStyle:
    """Return whose clients ask on this path, and so how an error must look for them to read it."""
    path = request.path
    if not place(path).is_proxied:
        return "own"
    both = is_below(path, "/v1/models", "/models")
    if is_below(path, "/v1/messages", "/messages") or (both and "anthropic-version" in request.headers):
        return "anthropic"
    return "openai"
