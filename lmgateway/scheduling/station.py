"""One box's part of the scheduler: what it has in memory, and what others run on it."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Protocol

from ..boxes.box import Box
from ..boxes.listing import Listing
from ..config import Config
from ..models.profiles import profiles_of
from ..observe.activity import Activity
from .instances import Instances
from .line import Line
from .onlookers import Onlooker
from .residency import keeper
from .residency.keeper import Keeper
from .residency.origins import Origins
from .residency.terms import ResidencyTerms
from .residency.wishes import Wishes
from .slots import Lease
from .watch import Watch


class Owner(keeper.Scheduler, Protocol):
    """The scheduler, as a station sees it."""

    line: Line
    instances: Instances

    @property
    def config(self) -> Config: ...


class Station:
    """The owner of what is decided for one box. `box` returns the box in force of this name.

    `was_waking`: its machine was being woken up before its state changed last. `overslept_at`: when that has
    failed the last time, in seconds of the monotonic clock.
    """

    def __init__(
        self, box: Callable[[], Box], owner: Owner, onlooker: Onlooker, origins: Origins, activity: Activity
    ) -> None:
        self.name = box().name
        self._box = box
        self._owner = owner
        self.was_waking, self.overslept_at = False, -inf
        self._watch = Watch(
            owner.line,
            owner.instances,
            box,
            owner.dispatch,
            came_up=lambda: self.keeper.came_up(),
            has_drains=lambda: self.residency.drains,
            has_residency=lambda: self.residency.terms.enabled,
            end=owner.end,
        )
        self.looks = self._watch.looks
        self.keeper = Keeper(
            owner.line,
            owner.instances,
            owner,
            onlooker,
            box=box,
            profiles=lambda: profiles_of(owner.config.models).loads,
            origins=origins,
            activity=activity,
            count=self._watch.count_all,
            terms=ResidencyTerms.of(owner.config, box()),
        )
        self.residency = self.keeper.residency
        self.wishes = Wishes(owner.line, self.keeper, activity)

    async def close(self) -> None:
        await self.keeper.close()
        await self._watch.close()

    @property
    def box(self) -> Box:
        return self._box()

    @property
    def has_residency(self) -> bool:
        """True if the gateway decides what it has in memory."""
        return self.box.has_residency(self._owner.config)

    def knows(self, model: str) -> bool:
        """True if the box had a model of this key on its disk when it was asked last."""
        known = self.box.catalogue.find(model)
        return known is not None and known.key == model

    async def keep_watch(self) -> None:
        """Look without a request whether LM Studio has come up, to load pins and know what it has."""
        await self.looks.look_regularly(lambda: self.keeper.is_watchful)

    def attend(self, *, is_needed: bool) -> None:
        """Ask LM Studio for what somebody waits to know.

        `is_needed`: a request waits that can run nowhere else, or its load, for what is in memory.
        """
        self._watch.attend(is_needed=is_needed)

    # ── Changes ────────────────────────────────────────────────────────────────────────────────────────────

    def listed(self, listing: Listing) -> None:
        """Take in what the box has in memory."""
        leases: list[Lease] = []
        if self.keeper.notice_address():
            self.looks.start_over()
            leases += self._owner.instances.forget(self.name)
        self.change_terms()
        leases += self._owner.instances.take(self.name, listing)
        self.keeper.ownership.listed()
        self._owner.dispatch(leases)

    def change_terms(self) -> None:
        """Put the configuration in force."""
        self.residency.change_terms(ResidencyTerms.of(self._owner.config, self.box))

    def follow_greeting(self) -> None:
        """Take in whether its models can be managed, once LM Studio's greeting was read."""
        if self.residency.terms.enabled != self.has_residency:
            self.change_terms()
