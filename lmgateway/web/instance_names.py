"""Puts the name of the instance that has the slot into a request's body, also of a second slot."""

from __future__ import annotations

from aiohttp import web

from ..boxes.box import Box
from ..scheduling.awaken import awaken
from ..scheduling.runs import Run
from ..scheduling.slots import Instance, Lease
from ..traffic.plan import Plan
from ..traffic.target import model_in, parse
from .delivery import Addressed
from .reading import scan_members
from .ruleset import Ruleset
from .state import FLEET, TURNS

_NEEDED = "a request needs it"


async def address(planned: Plan, run: Run, rules: Ruleset, request: web.Request) -> Addressed:
    """Return the request to the box at which it has its slot.

    Without one it goes to the first box that is up, and has the model which the path names, if any does. A
    machine that sleeps is woken up for it. Raises BoxAsleep.
    """
    if run.lease is None:
        named = None if rules.boxes.only is not None else model_in(parse(request.raw_path))
        only = rules.boxes.first_up if named is None else rules.boxes.with_model(named)
        await awaken(only, _NEEDED)
        return Addressed(planned, only)
    name = run.lease.instance.id.box
    box = rules.boxes.get(name)
    if box is None or run.waited:
        box = _in_force(name, rules, request)
    return await _name_instance(planned, run.lease, box, rules, request)


async def wait_again(
    run: Run, rules: Ruleset, request: web.Request, addressed: Addressed, *, elsewhere: bool = False
) -> Addressed:
    """Return the same request to another slot, once LM Studio has said what is in memory.

    It stays as it is without residency, and without a slot. `elsewhere`: the slot is on another box.

    Raises as Run.begin_again.
    """
    plan, box = addressed.plan, addressed.box
    if run.lease is None or not (elsewhere or box.is_watched or box.has_residency(rules.config)):
        return addressed
    await run.begin_again(elsewhere=elsewhere)
    name = run.lease.instance.id.box
    if name != box.name:
        box = _in_force(name, rules, request)
    return await _name_instance(plan, run.lease, box, rules, request)


def _in_force(name: str, rules: Ruleset, request: web.Request) -> Box:
    """Return the box of this name: that of the request's own rules, unless it has another address by now."""
    fleet, own = request.app[FLEET], rules.boxes.get(name)
    latest = fleet.boxes.get(name) or fleet.former(name)
    if own is not None and (latest is None or own.known is latest.known):
        return own
    return latest or rules.boxes.first_up


async def _name_instance(
    planned: Plan, lease: Lease, box: Box, rules: Ruleset, request: web.Request
) -> Addressed:
    """Return the plan for the same request with a body that names the lease's instance.

    A name that isn't that of the instance's model stays, for LM Studio to refuse or to resolve. So does every
    name without residency.
    """
    named = planned.relay.instance or planned.model
    if (name := lease.instance.id.name) == named:
        return Addressed(planned, box, lease.ticket.mobility, lease.ticket.is_bound)  # nearly every request
    if not (box.has_residency(rules.config) and _answers(lease.instance, planned.model, box)):
        return Addressed(planned, box, lease.ticket.mobility, lease.ticket.is_bound)
    located = None
    if (body := planned.unlocated) is not None:
        located = body.located("model") or await scan_members(body.text, request.app[TURNS])
    return Addressed(planned.with_instance(name, located), box, lease.ticket.mobility, lease.ticket.is_bound)


def _answers(instance: Instance, model: str | None, box: Box) -> bool:
    """True if the instance is in memory, and is one of the named model, if one is named."""
    known = None if model is None else box.catalogue.find(model)
    return instance.is_listed and (model is None or (known is not None and known.key == instance.model))
