"""Makes the ticket with which a request joins the line."""

from __future__ import annotations

from ..scheduling.instances import wanted
from ..scheduling.tickets import Account, Ticket
from ..text import clean_name
from ..traffic.dialects import Dialect
from ..traffic.long_body import LongBody
from ..traffic.plan import Incoming, Plan
from ..traffic.short_body import ShortBody
from .context import RequestContext

_FLEX = b'"flex"'  # OpenAI's service_tier for requests that may wait


def make_ticket(context: RequestContext, dialect: Dialect, incoming: Incoming, planned: Plan) -> Ticket:
    """Return the ticket of a request to a model."""
    rules, caller, queue = context.rules, context.caller, context.rules.config.queue
    box = rules.box
    limit = queue.max_wait_ms if planned.streaming else queue.max_wait_plain_ms
    model, instance = wanted(planned.model, dialect.model_type, box.catalogue.listing)
    is_background = caller.priority == "background" or context.head.is_background or _is_flexible(incoming)
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


def _is_flexible(incoming: Incoming) -> bool:
    body = incoming.body
    return isinstance(body, (ShortBody, LongBody)) and body.value("service_tier") == _FLEX


def _user(context: RequestContext, header: str) -> str:
    return clean_name(context.head.fields.get(header, ""), context.head.redaction.redact)


def _size(body: object) -> int:
    if isinstance(body, tuple):
        return sum(map(len, body))
    return len(body) if isinstance(body, bytes) else 0
