"""Makes the ticket with which a request joins the line."""

from __future__ import annotations

from math import inf

from aiohttp import web
from msgspec import structs

from ..observe.exchange import Exchange
from ..scheduling.instances import wanted
from ..scheduling.scheduler import Scheduler
from ..scheduling.tickets import Ticket, account_of
from ..text import clean_name
from ..traffic.dialects import Dialect
from ..traffic.long_body import LongBody
from ..traffic.plan import Incoming, Plan
from ..traffic.requirements import is_flexible, most_tokens, previous_response
from ..traffic.rewrite import Body, Choice
from ..traffic.short_body import ShortBody
from .context import RequestContext
from .reading import prompt_bytes
from .state import RESPONSE_IDS, TURNS


def ticket_for(
    scheduler: Scheduler,
    context: RequestContext,
    exchange: Exchange,
    incoming: Incoming,
    planned: Plan,
    choice: Choice,
) -> Ticket | None:
    """Return the ticket of a request to a model, None for a request that takes no slot."""
    dialect, body = incoming.dialect, incoming.body
    if not exchange.runs_model or scheduler.passes(exchange.key):
        return None
    if dialect is None or not isinstance(body, (ShortBody, LongBody)):
        return None
    return _make_ticket(context, dialect, body, planned, choice)


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


def _make_ticket(
    context: RequestContext, dialect: Dialect, body: Body, planned: Plan, choice: Choice
) -> Ticket:
    rules, caller, queue = context.rules, context.caller, context.rules.config.queue
    box = rules.box
    limit = queue.max_wait_ms if planned.streaming else queue.max_wait_plain_ms
    if choice.key is None:
        model, instance = wanted(planned.model, dialect.model_type, box.catalogue.listing)
    else:
        model, instance = choice.key, choice.instance
    is_background = caller.priority == "background" or context.head.is_background or is_flexible(body)
    return Ticket(
        request_id=context.request_id,
        account=account_of(caller.name, None if rules.callers.are_several else context.client),
        user=None if caller.user_header is None else _user(context, caller.user_header),
        priority="background" if is_background else "interactive",
        model=model,
        kind=dialect.model_type,
        box=box.name,
        instance=instance,
        body_bytes=_size(planned.body),
        max_wait=limit / 1000 if limit else inf,
    )


def _user(context: RequestContext, header: str) -> str:
    return clean_name(context.head.fields.get(header, ""), context.head.redaction.redact)


def _size(body: object) -> int:
    if isinstance(body, bytes):
        return len(body)
    return sum(map(len, body)) if isinstance(body, tuple) else 0
