"""The owner of the residency of one box: it has LM Studio do what is decided."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Protocol

from ... import background
from ...boxes.box import Box
from ...boxes.listing import InstanceDetails, KnownModel
from ...boxes.load_in_progress import LoadProfiles
from ...boxes.load_order import LoadedInstance
from ...errors import INTERNAL_FAILURE, GatewayError
from ...observe.activity import Activity
from ...schema.common import ModelType
from ..instances import Instances
from ..line import Line
from ..onlookers import Onlooker
from ..slots import InstanceId, Lease
from ..tickets import Ticket, Wanted
from . import calls
from .effects import (
    DrainEnd,
    DrainStart,
    Effect,
    Load,
    Loaded,
    LoadFailure,
    LoadOutcome,
    Refuse,
    SwapEnd,
    Unload,
    Unloaded,
)
from .origins import Origins
from .ownership import Ownership
from .residency import Residency
from .rounds import Decision
from .terms import ResidencyTerms
from .unloads import Unloads

logger = logging.getLogger(__name__)


class Scheduler(Protocol):
    """The scheduler, as the keeper sees it."""

    def dispatch(self, leases: Iterable[Lease]) -> None:
        """Let these requests run, and have everything decided anew."""

    def end(self, ticket: Ticket, error: GatewayError) -> None:
        """End the wait of a request that is in line no more."""


class Keeper:
    """Carries out what the residency decides, each call to LM Studio in a task of its own.

    `box` returns the one in force, `profiles` the load settings of the configuration.
    """

    def __init__(
        self,
        line: Line,
        instances: Instances,
        scheduler: Scheduler,
        onlooker: Onlooker,
        *,
        box: Callable[[], Box],
        profiles: Callable[[], LoadProfiles],
        origins: Origins,
        activity: Activity,
        count: calls.Count,
        terms: ResidencyTerms,
    ) -> None:
        self.residency = Residency(box().name, line, terms)
        self.residency.is_left_alone = lambda: box().is_left_alone
        self._line = line
        self._instances = instances
        self._scheduler = scheduler
        self._onlooker = onlooker
        self._box = box
        self._profiles = profiles
        self.ownership = Ownership(self.residency, instances, origins, box)
        self.unloads = Unloads(
            self.residency, self.ownership, scheduler, box=box, activity=activity, count=count
        )
        self._tasks = background.DetachedTasks()
        self._known = box().catalogue

    async def close(self) -> None:
        """Stop waiting for LM Studio, which goes on with what it does."""
        await self._tasks.close()
        await self.unloads.close()

    def decide(self, now: float) -> Decision:
        """Begin what is to be done now, and return it."""
        decision = self.residency.decide(now)
        for effect in decision.effects:
            self._carry_out(effect)
        return decision

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Load():
                self._tasks.start(self._load(effect))
            case Unload():
                self.unloads.start(effect)
            case Refuse():
                self._scheduler.end(effect.ticket, effect.error)
            case DrainStart():
                self._onlooker.drain_started(effect.instance, effect.wanted)
            case DrainEnd():
                is_gone = effect.outcome == "unloaded"
                self.unloads.tell(effect.instance, Unloaded("gone" if is_gone else "revoked"))
                self._onlooker.drain_ended(effect)
            case SwapEnd():
                self._onlooker.swap_ended(effect)

    def is_at(self, box: Box) -> bool:
        """True if this box has the address in force."""
        return box.catalogue is self._box().catalogue

    def notice_address(self) -> bool:
        """End what was begun at another address; return whether it has changed."""
        if self._known is (known := self._box().catalogue):
            return False
        self._known = known
        self.residency.start_over(monotonic())
        return True

    # ── Loads ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _load(self, load: Load) -> None:
        outcome: LoadedInstance | LoadFailure = LoadFailure("other", INTERNAL_FAILURE)
        try:
            box = self._box()
            box.used()
            outcome = await calls.load(load.target, box, self._profiles())
        except Exception:
            logger.exception("loading %s failed", load.target.model)
        await self.load_ended(load, outcome)

    def begin_load(self, target: Wanted, kind: ModelType) -> Load:
        """Record a load that somebody asks for; `load_ended` follows."""
        load = self.residency.begin_load(target, kind, "loaded", monotonic())
        self._scheduler.dispatch(())  # nothing is swapped for it any more, and those who wait for it pay
        return load

    async def load_ended(self, load: Load, outcome: LoadedInstance | LoadFailure) -> None:
        """Take in what came of a load, and let those run that waited for it.

        Without effect if LM Studio's address has changed meanwhile: then it has ended already.
        """
        if not self._is_in_progress(load):
            return
        if isinstance(outcome, LoadFailure):
            if outcome.reason != "no_link":  # that is logged where LM Studio is called, once
                logger.warning("%s isn't loaded: %s", load.target.model, outcome.words)
            self._end(load, outcome)
            return
        if not outcome.was_loaded:
            logger.info("%s is loaded, in %.1f s", outcome.identifier, outcome.load_seconds)
        try:
            await self._put(outcome)
        finally:
            self._end(load, Loaded(outcome.identifier, was_there=outcome.was_loaded))
        self.ownership.save(outcome, self._onlooker.loaded)

    async def adopt(self, loaded: LoadedInstance) -> None:
        """Take in an instance that somebody has loaded beside another one of its model."""
        await self._put(loaded)
        self.residency.adopt(loaded.identifier, loaded.load_seconds, monotonic())
        self.ownership.save(loaded, self._onlooker.loaded)
        self._scheduler.dispatch(())

    async def keep(self, loaded: LoadedInstance) -> bool:
        """Have the result of somebody's load stay.

        False if it was being unloaded: that has ended now, so that it can be loaded again.
        """
        instance = self._line.machines.instances.get(InstanceId(self._box().name, loaded.identifier))
        if instance is not None and (unload := self.unloads.of(instance)) is not None:
            await asyncio.wait([unload])
            return False
        if instance is not None:
            self.residency.keep(instance, monotonic())
            self.ownership.changed(instance)
            self._scheduler.dispatch(())
        return True

    def _is_in_progress(self, load: Load) -> bool:
        return any(loading.load is load for loading in self.residency.loads)

    def _end(self, load: Load, outcome: LoadOutcome) -> None:
        if not self._is_in_progress(load):
            return
        self.residency.load_ended(load, outcome, monotonic())
        self._scheduler.dispatch(())

    async def _put(self, loaded: LoadedInstance) -> None:
        """Have the line take in what LM Studio lists now, and this instance, unless it is gone already."""
        box = self._box()
        is_gone = await calls.is_gone(loaded.identifier, box)
        await asyncio.sleep(0)  # the line takes in the new list
        if is_gone or not self.is_at(box):
            return
        model = KnownModel(loaded.model_key, loaded.type)
        name = InstanceId(box.name, loaded.identifier)
        self._scheduler.dispatch(self._instances.put_loaded(name, model, _details(loaded)))

    @property
    def is_watchful(self) -> bool:
        """True while LM Studio is to be looked at also without a request.

        That is for pinned models, and for what was loaded before a restart and wasn't seen since.
        """
        terms = self.residency.terms
        return terms.enabled and (bool(terms.pins) or self.ownership.is_unchecked)

    def came_up(self) -> None:
        """Have pinned models loaded, and tell what was loaded before a restart from what others loaded."""
        self._tasks.start(self.ownership.check())
        self.residency.came_up()
        self._scheduler.dispatch(())


def _details(loaded: LoadedInstance) -> InstanceDetails:
    applied = loaded.load_config
    return InstanceDetails.plausible(*map(applied.get, ("parallel", "contextLength", "useUnifiedKvCache")))
