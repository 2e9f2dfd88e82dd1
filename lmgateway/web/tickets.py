"""Makes the ticket with which a request joins the line."""

from __future__ import annotations

from math import inf

from aiohttp import web
from msgspec import structs

from ..errors import UpstreamUnavailable
from ..observe.exchange import Exchange
from ..scheduling.instances import wanted
from ..scheduling.scheduler import Scheduler
from ..scheduling.tickets import Account, Group, Ticket, Wanted
from ..schema.common import Mobility
from ..text import clean_name
from ..traffic.conversation import beginning
from ..traffic.dialects import Dialect
from ..traffic.long_body import LongBody
from ..traffic.plan import Incoming, Plan
from ..traffic.requirements import is_flexible, most_tokens, previous_response
from ..traffic.rewrite import Body, Choice
from ..traffic.short_body import ShortBody
from ..traffic.tool_use import UnjudgedTools, runs_tools
from .context import RequestContext
from .reading import prompt_bytes
from .state import RESPONSE_IDS, TURNS

# So many groups are remembered of requests with one head. They differ in what their bodies ask for.
MAX_GROUPS = 16
_GONE = (
    "The LM Studio that has the response of this previous_response_id isn't configured any more. Send the "
    "conversation instead."
)


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
    groups, version = context.head.groups, context.rules.models.catalogue.version
    flexible, goal = is_flexible(body), (choice.key, choice.instance)
    only = _only_box(context, body, dialect)
    box = only or ("" if planned.relay.model is not None else context.rules.boxes.first_up.name)
    asked = planned.relay.model, goal, planned.streaming, dialect, flexible, exchange.key, version, box
    group = groups.get(asked)
    if group is None:
        if len(groups) >= MAX_GROUPS:
            groups.clear()
        group = groups[asked] = _make_group(context, dialect, planned, choice, flexible=flexible, box=box)
    if only and not context.rules.boxes.is_watched:
        return Ticket(context.request_id, group, len(body.text))
    return Ticket(
        context.request_id,
        group,
        len(body.text),
        conversation=None if only else beginning(body, dialect),
        mobility=_mobility(incoming.target.path, body),
        is_bound=bool(only),
    )


def _mobility(path: str, body: Body) -> Mobility:
    """Return whether a request may be sent again if a box fails before it answers."""
    try:
        return "unsent" if runs_tools(path, body) else "any"
    except UnjudgedTools:
        return "unsent"


def _only_box(context: RequestContext, body: Body, dialect: Dialect) -> str:
    """Return the only box that may answer a request, "" if there are several.

    That is the one that has the response which it continues. Raises UpstreamUnavailable if that isn't
    configured any more.
    """
    boxes = context.rules.boxes
    previous = previous_response(body, dialect) if dialect.continues else None
    if previous is not None and (owner := context.owners.response_ids.owner(previous)) is not None:
        if boxes.get(owner.box) is None:
            raise UpstreamUnavailable(_GONE)
        return owner.box
    return "" if boxes.only is None else boxes.only.name


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
    context: RequestContext, dialect: Dialect, planned: Plan, choice: Choice, *, flexible: bool, box: str
) -> Group:
    rules, caller, queue = context.rules, context.caller, context.rules.config.queue
    limit = queue.max_wait_ms if planned.streaming else queue.max_wait_plain_ms
    kind = dialect.model_type
    if choice.key is None:
        first = None if rules.boxes.only is not None else rules.boxes.get(box)
        listing = (rules.models if first is None else first).catalogue.listing
        goal = wanted(planned.model, kind, box, listing)
        if not box and rules.models.catalogue.find(goal.model) is None:
            # No list has it: for an LM Studio whose models can't be managed, and that may have it.
            goal = Wanted(rules.boxes.first_up.name, goal.model, goal.instance)
    else:
        goal = Wanted(box, choice.key, choice.instance)
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
