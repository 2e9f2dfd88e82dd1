"""The parts of the URL space, and whose habits each follows."""

from __future__ import annotations

from typing import Literal

from aiohttp import web

from ..traffic.target import PROXIED_PREFIXES, changes_machine

ApiStyle = Literal["own", "openai", "anthropic"]


def is_below(path: str, *prefixes: str) -> bool:
    """Tell whether the path is one of the prefixes, or lies below one."""
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in prefixes)


def is_proxied(path: str) -> bool:
    return is_below(path, *PROXIED_PREFIXES)


def is_for_pages(path: str) -> bool:
    """Tell whether pages of any origin may be let in here: to LM Studio, unless it changes the machine."""
    return is_proxied(path) and not changes_machine(path.lower())


def api_style(request: web.Request) -> ApiStyle:
    """Return whose clients ask on this path, and so how an error must look for them to read it."""
    path = request.path
    if not is_proxied(path):
        return "own"
    both = is_below(path, "/v1/models", "/models")
    if is_below(path, "/v1/messages", "/messages") or (both and "anthropic-version" in request.headers):
        return "anthropic"
    return "openai"
