"""The owner of the residency of one box: it has LM Studio do what is decided."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import monotonic
from typing import Protocol

from ... import background
from ...boxes.box import Box
from ...boxes.listing import InstanceDetails, KnownModel
from ...boxes.load_in_progress import LoadProfiles
from ...boxes.load_order import LoadedInstance
from ...errors import INTERNAL_FAILURE, Conflict, GatewayError, StudioFailed
from ...observe.activity import Activity
from ..instances import Instances
from ..line import Line
from ..onlookers import Onlooker
from ..slots import Instance, InstanceId, Lease
from ..tickets import Ticket
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
from .residency import Residency
from .terms import ResidencyTerms

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
        self._line = line
        self._instances = instances
        self._scheduler = scheduler
        self._onlooker = onlooker
        self._box = box
        self._profiles = profiles
        self._origins = origins
        self._activity = activity
        self._count = count
        self._tasks = background.DetachedTasks()
        # Those who wait for an unload that they asked for.
        self._has_come_up = False
        self._askers: dict[Instance, list[asyncio.Future[Unloaded]]] = {}

    async def close(self) -> None:
        """Stop waiting for LM Studio, which goes on with what it does."""
        await self._tasks.close()

    @property
    def is_watchful(self) -> bool:
        """True while LM Studio is to be looked at also without a request.

        That is for pinned models, and for what was loaded before a restart and wasn't seen since.
        """
        remembers = not self._has_come_up and bool(self._origins.on(self._box().name))
        terms = self.residency.terms
        return terms.enabled and (remembers or bool(terms.pins))

    def decide(self, now: float) -> Iterable[Lease]:
        """Begin what is to be done now; return the leases of requests that may run because of it."""
        decision = self.residency.decide(now)
        for effect in decision.effects:
            self._carry_out(effect)
        return decision.leases

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Load():
                self._tasks.start(self._load(effect))
            case Unload():
                self._tasks.start(self._unload(effect))
            case Refuse():
                self._scheduler.end(effect.ticket, effect.error)
            case DrainStart():
                self._onlooker.drain_started(effect.instance, effect.wanted)
            case DrainEnd():
                self._onlooker.drain_ended(effect)
            case SwapEnd():
                self._onlooker.swap_ended(effect)

    # ── Loads ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _load(self, load: Load) -> None:
        outcome: LoadedInstance | LoadFailure = LoadFailure("other", INTERNAL_FAILURE)
        try:
            outcome = await calls.load(load.target, self._box(), self._profiles())
        except Exception:
            logger.exception("loading %s failed", load.target.model)
        await self.load_ended(load, outcome)

    async def load_ended(self, load: Load, outcome: LoadedInstance | LoadFailure) -> None:
        """Take in what came of a load, and let those run that waited for it."""
        if isinstance(outcome, LoadFailure):
            self._end(load, outcome)
        else:
            await self._put(outcome)
            self._end(load, Loaded(outcome.identifier, was_there=outcome.was_loaded))
            self._save_origin(outcome)

    async def adopt(self, loaded: LoadedInstance) -> None:
        """Take in an instance that somebody has loaded beside another one of its model."""
        await self._put(loaded)
        self.residency.adopt(loaded.identifier, loaded.load_seconds, monotonic())
        self._save_origin(loaded)
        self._scheduler.dispatch(())

    def _end(self, load: Load, outcome: LoadOutcome) -> None:
        self.residency.load_ended(load, outcome, monotonic())
        self._scheduler.dispatch(())

    async def _put(self, loaded: LoadedInstance) -> None:
        """Have the line take in what LM Studio lists now, and this instance."""
        box = self._box()
        with suppress(GatewayError):  # it is logged where LM Studio is called
            await box.list_models()
            await asyncio.sleep(0)
        model = KnownModel(loaded.model_key, loaded.type)
        name = InstanceId(box.name, loaded.identifier)
        self._scheduler.dispatch(self._instances.put_loaded(name, model, _details(loaded)))

    def _save_origin(self, loaded: LoadedInstance) -> None:
        name = InstanceId(self._box().name, loaded.identifier)
        instance = self._line.machines.instances.get(name)
        if instance is None or instance.origin == "outside":
            return
        if loaded.was_loaded:
            self._origins.change(*name, instance.origin)
            return
        seconds = loaded.load_seconds
        self._origins.put(*name, instance.model, instance.origin, seconds, loaded.reference)
        self._onlooker.loaded(seconds)

    def listed(self) -> None:
        """Take in which of the instances that are listed now the gateway has loaded, before a restart too."""
        name = self._box().name
        there = {one.id.name: one for one in self._instances.listed(name)}
        for identifier in self._origins.on(name):
            if identifier not in there:
                self._origins.forget(name, identifier)
        for one in there.values():
            row = self._origins.of(*one.id, one.model)
            if row is not None and one.origin == "outside":
                one.origin = row.origin
                self.residency.load_seconds.setdefault(one.model, row.load_seconds)

    def came_up(self) -> None:
        """Have pinned models loaded, and tell what was loaded before a restart from what others loaded."""
        self._has_come_up = True
        self._tasks.start(self._check_origins())
        self.residency.came_up()
        self._scheduler.dispatch(())

    async def _check_origins(self) -> None:
        box = self._box()
        with suppress(GatewayError):  # it is logged where LM Studio is called
            for identifier in await self._origins.check(box):
                instance = self._line.machines.instances.get(InstanceId(box.name, identifier))
                if instance is not None:
                    instance.origin = "outside"

    # ── Unloads ────────────────────────────────────────────────────────────────────────────────────────────

    async def _unload(self, unload: Unload) -> None:
        instance, outcome = unload.instance, Unloaded("failed")
        try:
            if await self._is_of_others(instance):
                outcome = Unloaded("kept")
            else:
                count = None if unload.is_forced else self._count
                outcome = await calls.unload(instance, self._box(), self._activity, count)
        except Exception:
            logger.exception("unloading %s failed", instance.id.name)
        if outcome.outcome == "gone":
            self._origins.forget(*instance.id)
        self.residency.unload_ended(instance, outcome, monotonic())
        self._scheduler.dispatch(())
        if outcome.outcome != "busy":
            for asker in self._askers.pop(instance, ()):
                if not asker.done():
                    asker.set_result(outcome)

    async def _is_of_others(self, instance: Instance) -> bool:
        """True if somebody else has loaded an instance anew, under the name of one of the gateway's."""
        if instance.origin != "on-demand" or instance in self._askers:
            return False
        with suppress(GatewayError):  # it is logged where LM Studio is called; the unload will fail too
            return instance.id.name in await self._origins.check(self._box())
        return False

    async def unload(self, instance: Instance, *, patience: float, force: bool) -> None:
        """Unload an instance when its requests have ended, or at once.

        Raises Conflict if they haven't after `patience` seconds, and as SdkCalls.unload.
        """
        asker = asyncio.get_running_loop().create_future()
        self._askers.setdefault(instance, []).append(asker)
        self.residency.ask_to_unload(instance, force=force)
        self._scheduler.dispatch(())
        done, _ = await asyncio.wait([asker], timeout=None if force else patience)
        if not done and instance.state == "draining":
            running = len(instance.leases) + instance.outside
            self.residency.take_back(instance, monotonic())
            self._scheduler.dispatch(())
            raise Conflict(
                f"{running} requests still run on {instance.id.name} after {patience:g} s, so it wasn't "
                "unloaded. Wait longer with drainSeconds, or end them with force."
            )
        unloaded = await asker
        if unloaded.outcome == "failed":
            raise unloaded.error or StudioFailed(f"{instance.id.name} couldn't be unloaded.")


def _details(loaded: LoadedInstance) -> InstanceDetails:
    applied = loaded.load_config
    return InstanceDetails.plausible(*map(applied.get, ("parallel", "contextLength", "useUnifiedKvCache")))
