"""Makes the ticket with which a request joins the line."""

from __future__ import annotations

from math import inf

from aiohttp import web
from msgspec import structs

from ..observe.exchange import Exchange
from ..scheduling.instances import wanted
from ..scheduling.scheduler import Scheduler
from ..scheduling.tickets import Account, Group, Ticket, Wanted
from ..text import clean_name
from ..traffic.dialects import Dialect
from ..traffic.long_body import LongBody
from ..traffic.plan import Incoming, Plan
from ..traffic.requirements import is_flexible, most_tokens, previous_response
from ..traffic.rewrite import Choice
from ..traffic.short_body import ShortBody
from .context import RequestContext
from .reading import prompt_bytes
from .state import RESPONSE_IDS, TURNS

# So many groups are remembered of requests with one head. They differ in what their bodies ask for.
MAX_GROUPS = 16


def ticket_for(
    scheduler: Scheduler,
    context: RequestContext,
    exchange: Exchange,
    incoming: Incoming,
    planned: Plan,
    choice: Choice,
) -> Ticket | None:
    """Return the ticket of a request to a model, None for a request that takes no slot."""
    if not exchange.runs_model or scheduler.passes(exchange.key):
        return None
    dialect, body = incoming.dialect, incoming.body
    if dialect is None or not isinstance(body, (ShortBody, LongBody)):
        return None
    groups, version = context.head.groups, context.rules.box.catalogue.version
    flexible, goal = is_flexible(body), (choice.key, choice.instance)
    asked = planned.relay.model, goal, planned.streaming, dialect, flexible, exchange.key, version
    group = groups.get(asked)
    if group is None:
        if len(groups) >= MAX_GROUPS:
            groups.clear()
        group = groups[asked] = _make_group(context, dialect, planned, choice, flexible=flexible)
    return Ticket(context.request_id, group, len(body.text))


async def with_needs(ticket: Ticket, app: web.Application, incoming: Incoming, choice: Choice) -> Ticket:
    """Return the ticket with what the request needs of a context that it may share."""
    dialect, body = incoming.dialect, incoming.body
    if dialect is None or not isinstance(body, (ShortBody, LongBody)):
        return ticket
    return structs.replace(
        ticket,
        prompt_bytes=await prompt_bytes(body, app[TURNS]),
        earlier_tokens=app[RESPONSE_IDS].tokens(previous_response(body, dialect)),
        max_tokens=most_tokens(body, dialect, choice.defaults),
    )


def _make_group(
    context: RequestContext, dialect: Dialect, planned: Plan, choice: Choice, *, flexible: bool
) -> Group:
    rules, caller, queue = context.rules, context.caller, context.rules.config.queue
    limit = queue.max_wait_ms if planned.streaming else queue.max_wait_plain_ms
    box, kind = rules.box, dialect.model_type
    if choice.key is None:
        goal = wanted(planned.model, kind, box.name, box.catalogue.listing)
    else:
        goal = Wanted(box.name, choice.key, choice.instance)
    is_background = caller.priority == "background" or context.head.is_background or flexible
    return Group(
        account=Account(caller.name, None if rules.callers.are_several else context.client),
        user=None if caller.user_header is None else _user(context, caller.user_header),
        priority="background" if is_background else "interactive",
        wanted=goal,
        kind=kind,
        max_wait=limit / 1000 if limit else inf,
    )


def _user(context: RequestContext, header: str) -> str:
    return clean_name(context.head.fields.get(header, ""), context.head.redaction.redact)
