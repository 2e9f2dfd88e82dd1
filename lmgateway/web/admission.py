"""Whether the rules admit a request: its client's address, its host name, its key and its web page."""

from __future__ import annotations

from aiohttp import web

from ..access.callers import ANYONE, Caller
from ..schema.keys import SCOPES
from .operations.areas import Area
from .ruleset import RequestHead, Ruleset
from .state import CONTEXT


def identify_caller(head: RequestHead, rules: Ruleset, area: Area) -> Caller:
    """Return the caller of a request with this head, made under these rules.

    Raises Unauthorized, KeysUnreadable.
    """
    if area.is_open(health_is_open=rules.health_is_open):
        return ANYONE
    return head.caller()


def admit(caller: Caller, head: RequestHead, area: Area) -> None:
    """Raise ScopeMissing for a missing scope, PageRefused for a page of a forbidden origin, Misdirected."""
    # Before the scope: a refusal names the caller, which another site's page must not read.
    if caller.is_named and not caller.sent_key:
        head.admit_without_key()
    if area.scope in SCOPES:
        caller.require(area.scope)
    if area.is_closed_to_pages or (area.is_for_pages and not caller.sent_key):
        head.admit_page(proxied=area.is_for_pages, with_key=caller.sent_key)


def admit_again(request: web.Request, rules: Ruleset) -> Caller:
    """Return the caller of a running request.

    Raises what would refuse it if it began under these rules.
    """
    head = rules.head(request.remote or "", request.version, request.raw_headers)
    _ = head.client
    head.check_framing()
    area = request[CONTEXT].area
    caller = identify_caller(head, rules, area)
    admit(caller, head, area)
    return caller
