"""A proxied request, stage by stage.

read → choose → plan → name → deliver (admit → address → send → judge) → relay → record.

Each stage takes a value and returns the next one. The record is made when the `exchange` block is left.
"""

from __future__ import annotations

from functools import partial

from aiohttp import web
from aiohttp.typedefs import Handler

from ..errors import MethodNotAllowed
from ..observe.exchange import OTHER_ROUTE
from ..scheduling.runs import Run
from ..traffic import target
from ..traffic.dialects import DIALECTS, Dialect
from ..traffic.plan import plan
from . import native_models
from .choosing import choose
from .context import RequestContext
from .count_tokens import PATH, count_tokens
from .delivery import deliver, has_failed
from .held_bodies import HeldBody
from .instance_names import address, wait_again
from .joined_lists import joins, list_models
from .model_lists import limit_models, list_response
from .reading import read
from .relay import relay
from .state import CONTEXT
from .tickets import ticket_for, with_needs

# RFC 9110 section 15.5.6 requires a list in a 405. Any method but TRACE and CONNECT is forwarded.
_ALLOWED = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
# Whatever way its path is spelled.
COUNTING = DIALECTS[PATH]
_MAYBE_OWN = (None, COUNTING)


async def proxy(request: web.Request) -> web.StreamResponse:
    if request.method in {"CONNECT", "TRACE"}:
        raise MethodNotAllowed(f"{request.method} is not for a gateway.", headers={"Allow": _ALLOWED})
    destination = target.parse(request.raw_path)
    dialect = DIALECTS.get(destination.path) if request.method == "POST" else None
    context = request[CONTEXT]
    owners, rules, caller, config = context.owners, context.rules, context.caller, context.rules.config
    activity, scheduler, rates = owners.activity, owners.scheduler, owners.rate_limits
    own = await _own_handler(context, destination, dialect) if dialect in _MAYBE_OWN else None
    if own is not None:
        return await own(request)
    exchange = context.exchange(
        route=OTHER_ROUTE if dialect is None else destination.path,
        generates=dialect is not None and dialect.generates,
        runs_model=dialect is not None and dialect is not COUNTING,
    )
    with activity.exchange(exchange, config.limits), Run(scheduler, exchange) as run:
        with HeldBody(owners.held_bodies, context.client, config) as held:
            incoming = await read(request, context, destination, dialect, held)
            listing = None
            if not caller.models.allow_all and dialect is None:
                incoming, listing = await limit_models(incoming, caller, rules)
            choice = await choose(incoming, caller, rules, owners.active_models.current, owners.response_ids)
            planned = plan(incoming, choice, config, rules.boxes.known_refusals)
            ticket = ticket_for(scheduler, context, exchange, incoming, planned, choice)
            if ticket is not None and scheduler.instances.shares_context(ticket):
                ticket = await with_needs(ticket, request.app, incoming, choice)
            if planned.streaming:
                context.keep_alive(planned.relay)
            del incoming  # its body is in memory a second time if parameters were filled in
            exchange.resolved(planned.model, stream=planned.streaming, ignored=planned.ignored)
            activity.announce(exchange)
            if dialect is not None:
                rates.admit(exchange.key)
            if ticket is not None and not run.begin(ticket):
                await run.wait()
                rates.admit_after_wait(exchange.key)
            addressed = await address(planned, run, rules, request)
            try:
                delivered = await deliver(addressed, exchange, partial(wait_again, run, rules, request))
            finally:
                if context.area.scope == "models":  # LM Studio's own load or unload
                    addressed.box.catalogue.expire()
            del planned, addressed  # free the body, which may be large, before the response is relayed
        run.ends_with(delivered.response, partial(has_failed, delivered, exchange))
        if listing is not None:
            return await list_response(delivered, destination.path, caller, listing, exchange)
        bind = partial(owners.response_ids.bind, key=caller.name, box=delivered.box.name)
        return await relay(delivered, exchange, context.downstream, activity.faults, bind)


async def _own_handler(
    context: RequestContext, destination: target.Target, dialect: Dialect | None
) -> Handler | None:
    """Return what answers a request that isn't forwarded."""
    if dialect is COUNTING:
        return count_tokens if context.rules.config.compat.mend else None
    if joins(context.method, destination, context.rules.boxes):
        return partial(list_models, target=destination)
    if context.area.scope != "models":
        return None
    return await native_models.handler_of(context.method, destination.path, context.rules)
