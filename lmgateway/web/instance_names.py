"""Puts the name of the instance that has the slot into a request's body, also of a second slot."""

from __future__ import annotations

from aiohttp import web

from ..scheduling.runs import Run
from ..scheduling.slots import Instance, Lease
from ..traffic.plan import Plan
from .reading import scan_members
from .ruleset import Ruleset
from .state import TURNS


async def name_instance(planned: Plan, lease: Lease | None, rules: Ruleset, request: web.Request) -> Plan:
    """Return the plan for the same request with a body that names the lease's instance.

    A name that isn't that of the instance's model stays, for LM Studio to refuse or to resolve. So does every
    name without residency.
    """
    named = planned.relay.instance or planned.model
    if lease is None or (name := lease.instance.id.name) == named:
        return planned  # nearly every request
    if not (rules.box.has_residency(rules.config) and _answers(lease.instance, planned.model, rules)):
        return planned
    located = None
    if (body := planned.unlocated) is not None:
        located = body.located("model") or await scan_members(body.text, request.app[TURNS])
    return planned.with_instance(name, located)


async def wait_again(run: Run, rules: Ruleset, request: web.Request, planned: Plan) -> Plan:
    """Return the plan for the same request on another slot, once LM Studio has said what is in memory.

    It stays as it is without residency, and without a slot. Raises as Run.begin_again.
    """
    if run.lease is None or not rules.box.has_residency(rules.config):
        return planned
    await run.begin_again()
    return await name_instance(planned, run.lease, rules, request)


def _answers(instance: Instance, model: str | None, rules: Ruleset) -> bool:
    """True if the instance is in memory, and is one of the named model, if one is named."""
    known = None if model is None else rules.box.catalogue.find(model)
    return instance.is_listed and (model is None or (known is not None and known.key == instance.model))
