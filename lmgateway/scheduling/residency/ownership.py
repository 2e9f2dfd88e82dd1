"""Which of the instances in memory the gateway has loaded, and which somebody else."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from ...boxes.box import Box
from ...boxes.load_order import LoadedInstance
from ...errors import GatewayError
from ..instances import Instances
from ..slots import Instance
from .origins import Origins
from .residency import Residency


class Ownership:
    """Keeps the origins of the line's instances and the saved ones the same."""

    def __init__(
        self, residency: Residency, instances: Instances, origins: Origins, box: Callable[[], Box]
    ) -> None:
        self._residency = residency
        self._instances = instances
        self._origins = origins
        self._box = box
        self._has_checked = False

    @property
    def is_unchecked(self) -> bool:
        """True if instances were loaded before a restart, and LM Studio hasn't been asked for them since."""
        return not self._has_checked and bool(self._origins.on(self._box().name))

    def listed(self) -> None:
        """Take in the instances that are listed now, also those from before a restart."""
        there = self._there()
        for identifier in self._origins.on(self._box().name).keys() - there.keys():
            self._origins.forget(self._box().name, identifier)
        for one in there.values():
            row = self._origins.of(*one.id, one.model)
            if row is not None and one.origin == "outside":
                one.origin = row.origin
                self._residency.load_seconds.setdefault(one.model, row.load_seconds)

    async def check(self) -> None:
        """Ask LM Studio which of the instances somebody else has loaded anew, under the same name."""
        self._has_checked = True
        with suppress(GatewayError):  # it is logged where LM Studio is called
            for identifier in await self._origins.check(self._box()):
                if (instance := self._there().get(identifier)) is not None:
                    instance.origin = "outside"

    async def is_lost(self, instance: Instance) -> bool:
        """True if somebody else has loaded an instance anew that the gateway had loaded for requests."""
        if instance.origin != "on-demand":
            return False
        await self.check()
        return instance.origin != "on-demand"

    def save(self, loaded: LoadedInstance, count: Callable[[float], None]) -> None:
        """Save the origin of an instance, and `count` the seconds of its load if it was loaded now."""
        instance = self._there().get(loaded.identifier)
        if instance is None or instance.origin == "outside":
            return
        if loaded.was_loaded:
            self.changed(instance)
            return
        seconds, reference = loaded.load_seconds, loaded.reference
        self._origins.put(*instance.id, instance.model, instance.origin, seconds, reference)
        count(seconds)

    def changed(self, instance: Instance) -> None:
        """Save an origin that has changed."""
        if instance.origin != "outside":
            self._origins.change(*instance.id, instance.origin)

    def forget(self, instance: Instance) -> None:
        """Forget an instance that was unloaded."""
        self._origins.forget(*instance.id)

    def _there(self) -> dict[str, Instance]:
        return {one.id.name: one for one in self._instances.listed(self._box().name)}
