"""Makes the ticket with which a request joins the line."""

from __future__ import annotations

from aiohttp import web
from msgspec import structs

from ..scheduling.instances import wanted
from ..scheduling.tickets import Account, Ticket
from ..text import clean_name
from ..traffic.dialects import Dialect
from ..traffic.plan import Plan
from ..traffic.requirements import is_flexible, most_tokens, previous_response
from ..traffic.rewrite import Body, Choice
from .context import RequestContext
from .reading import prompt_bytes
from .state import RESPONSE_IDS, TURNS


def make_ticket(context: RequestContext, dialect: Dialect, body: Body, planned: Plan) -> Ticket:
    """Return the ticket of a request to a model. `body` is the client's."""
    rules, caller, queue = context.rules, context.caller, context.rules.config.queue
    box = rules.box
    limit = queue.max_wait_ms if planned.streaming else queue.max_wait_plain_ms
    model, instance = wanted(planned.model, dialect.model_type, box.catalogue.listing)
    is_background = caller.priority == "background" or context.head.is_background or is_flexible(body)
    return Ticket(
        request_id=context.request_id,
        account=Account(caller.name, None if rules.callers.are_several else context.client),
        user=None if caller.user_header is None else _user(context, caller.user_header),
        priority="background" if is_background else "interactive",
        model=model,
        kind=dialect.model_type,
        box=box.name,
        instance=instance,
        body_bytes=_size(planned.body),
        max_wait=limit / 1000 if limit else float("inf"),
    )


async def with_context_needs(
    ticket: Ticket, app: web.Application, dialect: Dialect, body: Body, choice: Choice
) -> Ticket:
    """Return the ticket of a request to a model whose requests share a context, with what it may need."""
    return structs.replace(
        ticket,
        prompt_bytes=await prompt_bytes(body, app[TURNS]),
        earlier_tokens=app[RESPONSE_IDS].tokens(previous_response(body, dialect)),
        max_tokens=most_tokens(body, dialect, choice.defaults),
    )


def _user(context: RequestContext, header: str) -> str:
    return clean_name(context.head.fields.get(header, ""), context.head.redaction.redact)


def _size(body: object) -> int:
    if isinstance(body, tuple):
        return sum(map(len, body))
    return len(body) if isinstance(body, bytes) else 0
