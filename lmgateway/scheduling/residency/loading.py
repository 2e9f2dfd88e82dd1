"""The loads in progress, and how long the last ones took."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from ...schema.common import ModelType
from ...schema.queue import Origin
from ..load_costs import LoadCost
from ..slots import Instance, InstanceId
from ..tickets import Wanted
from ..waiting import Waiter
from .effects import Load, Loaded
from .rounds import Round
from .wants import target_of


class Loading(Struct, eq=False):
    """A load in progress. `origin` is that of the instance to be."""

    load: Load
    since: float
    origin: Origin
    cost: LoadCost


class Loads:
    """The owner of the loads in progress on one box."""

    def __init__(self, current: Round, box: str) -> None:
        self._round = current
        self._box = box
        self._running: dict[Wanted, Loading] = {}
        # By model, how long its last load took, in seconds.
        self.seconds: dict[str, float] = {}

    def __iter__(self) -> Iterator[Loading]:
        return iter(self._running.values())

    def __len__(self) -> int:
        return len(self._running)

    def __contains__(self, target: Wanted) -> bool:
        return target in self._running

    def of_kind(self, kind: ModelType) -> bool:
        return any(one.load.kind == kind for one in self)

    def answers(self, target: Wanted) -> bool:
        """True if a load in progress is for requests for this model."""
        return any(answers(loading, target) for loading in self._running)

    def begin(self, target: Wanted, kind: ModelType, origin: Origin) -> Load:
        now, load = self._round.now, Load(target, kind)
        cost = self._round.line.accounts.load_began(self._box, now)
        self._running[target] = Loading(load, now, origin, cost)
        return load

    def claim(self, target: Wanted) -> None:
        """Have the instance of a load in progress stay until somebody unloads it."""
        if (loading := self._running.get(target)) is not None:
            loading.origin = "loaded"

    def adopt(self, identifier: str, load_seconds: float) -> None:
        """Take in an instance that was loaded apart from these loads."""
        instance, now = self._instance(identifier), self._round.now
        if instance is not None:
            instance.origin, instance.since, instance.idle_since = "loaded", now, now
            self.seconds[instance.model] = load_seconds

    def end(self, load: Load) -> Loading:
        loading = self._running.pop(load.target)
        self._round.line.accounts.load_ended(loading.cost, self._round.now)
        return loading

    def place(self, loading: Loading, loaded: Loaded) -> None:
        """Take in the instance that a load has ended with."""
        instance, now = self._instance(loaded.identifier), self._round.now
        if instance is None or not instance.is_listed:
            return  # somebody else has unloaded it already
        if not loaded.was_there:
            self.seconds[instance.model] = now - loading.since
            instance.since = instance.idle_since = now
        if not loaded.was_there or instance.origin == "on-demand":
            instance.origin = loading.origin

    def _instance(self, identifier: str) -> Instance | None:
        return self._round.line.machines.instances.get(InstanceId(self._box, identifier))

    def share_costs(self) -> None:
        """Have each load paid by those that wait for it now."""
        if not self._running:
            return
        line = self._round.line
        line.accounts.advance(self._round.now)
        for target, loading in self._running.items():
            loading.cost.share_among(self._waiting_for(target))

    def _waiting_for(self, loading: Wanted) -> Iterator[Waiter]:
        for group in self._round.line.waiting.groups():
            if answers(loading, target_of(group[0].ticket)):
                yield group[0]


def answers(loading: Wanted, target: Wanted) -> bool:
    """True if the instance of this load will answer requests for this model."""
    if target.instance is None or loading.instance == target.instance:
        return loading.model == target.model
    return loading.instance is None and loading.model == target.instance
