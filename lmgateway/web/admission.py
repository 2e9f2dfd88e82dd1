"""Whether the rules admit a request: its client's address, its host name, its key and its web page."""

from __future__ import annotations

from aiohttp import web

from ..access.callers import ANYONE, SCOPES, Caller
from .operations.areas import Area
from .ruleset import RequestHead, Ruleset
from .state import CONTEXT


def admit_caller(head: RequestHead, rules: Ruleset, area: Area) -> Caller:
    """Return the caller of a request with this head, made under these rules.

    Raises Unauthorized, Forbidden for a missing scope, PageRefused for a page of a forbidden origin.
    """
    caller = ANYONE
    if not area.is_open(health_is_open=rules.health_is_open):
        caller = rules.callers.identify(head.credential)
        if area.scope in SCOPES:
            caller.require(area.scope)
    if area.is_closed_to_pages or (area.is_for_pages and not rules.callers.needs_key):
        head.admit_page(proxied=area.is_for_pages)
    return caller


def admit_again(request: web.Request, rules: Ruleset) -> None:
    """Raise what a running request would be refused with if it began under these rules."""
    head = rules.head(request.remote or "", request.version, request.raw_headers)
    _ = head.client
    head.check_framing()
    admit_caller(head, rules, request[CONTEXT].area)
