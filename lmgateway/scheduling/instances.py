"""What the line knows of the models in memory, from what LM Studio lists."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from ..boxes.listing import InstanceDetails, KnownModel, Listing
from ..config import Config
from ..schema.common import ModelType
from ..text import clean_name
from .line import Line
from .slots import Instance, InstanceId, Lease, assumed, usual_slots
from .tickets import Ticket, Wanted

_UNKNOWN = InstanceDetails()
# While the line is off.
_ANY_NUMBER = 10**9


def wanted(name: str | None, kind: ModelType, box: str, listing: Listing) -> Wanted:
    """Return what LM Studio answers a name with: the identifier of an instance, else a model's key or path.

    Without a name, or with one that it doesn't know, the only instance of this type answers.
    """
    if name:
        if (model := listing.instances.get(name)) is not None:
            return Wanted(box, model.key, name)
        if (model := listing.models.get(name)) is not None:
            return Wanted(box, model.key)
    if listing.instances:
        loaded = [(one.key, identifier) for identifier, one in listing.instances.items() if one.type == kind]
        if len(loaded) == 1:
            return Wanted(box, *loaded[0])
    return Wanted(box, clean_name(name or ""))


class Instances:
    """Keeps the line's instances as LM Studio lists them, with the slots of the configuration."""

    def __init__(self, line: Line, config: Callable[[], Config]) -> None:
        self._line = line
        self._config = config
        # The boxes whose last list couldn't be read, as of a server that isn't LM Studio.
        self._blind: set[str] = set()
        # What LM Studio lists of each, and what the SDK reports of some.
        self._details: dict[InstanceId, InstanceDetails] = {}
        self._reported: dict[InstanceId, InstanceDetails] = {}
        # Those that the SDK hasn't reported on since they were loaded.
        self._unlearned: dict[InstanceId, None] = {}

    def set_blind(self, box: str, is_blind: bool) -> None:
        """Take in whether a box's list of models couldn't be read."""
        (self._blind.add if is_blind else self._blind.discard)(box)

    def slots_of(self, ticket: Ticket) -> int:
        """Return how many requests a model that isn't in memory may run at once."""
        return self._slots(ticket.model, ticket.kind, None)

    def assumed(self, ticket: Ticket, box: str) -> Instance:
        """Return what stands on a box for a model that isn't in memory."""
        return assumed(ticket, self.slots_of(ticket), may_share=self.has_guard(ticket.model), box=box)

    def take(self, box: str, listing: Listing) -> list[Lease]:
        """Take in what a box has in memory. Return the leases that this allows."""
        leases: list[Lease] = []
        for one in self.listed(box):
            if listing.instances.get(one.id.name, _NO_MODEL).key != one.model:
                for known in (self._details, self._reported, self._unlearned):
                    known.pop(one.id, None)
                one.may_share = self.has_guard(one.model)
                leases += self._line.remove(one, monotonic())
        for name, model in listing.instances.items():
            leases += self._put(InstanceId(box, name), model, listing.details.get(name, _UNKNOWN))
        return leases

    def forget(self, box: str) -> list[Lease]:
        """Take in that a box has another address: what runs at the old one takes no slot of the new one.

        Return the leases that this allows.
        """
        leases = self.take(box, Listing())
        for one in [one for one in self._line.machines.instances.values() if one.id.box == box]:
            self._line.machines.discard(one)
        return leases

    def _put(self, key: InstanceId, model: KnownModel, details: InstanceDetails) -> list[Lease]:
        instance = self._line.machines.instances.get(key)
        if instance is None or instance.model != model.key:
            instance = Instance(key, model.key, 1)
        instance.kind, instance.is_listed = model.type or "llm", True
        if self._details.get(key) != details:
            self._details[key] = details
            self._reported.pop(key, None)
            self._unlearned[key] = None
        self._apply(instance)
        return self._line.put(instance, monotonic())

    def put_loaded(self, key: InstanceId, model: KnownModel, details: InstanceDetails) -> list[Lease]:
        """Take in an instance that was loaded, with its settings, whether or not it is listed yet."""
        leases: list[Lease] = []
        instance = self._line.machines.instances.get(key)
        if instance is None or not instance.is_listed or instance.model != model.key:
            leases = self._put(key, model, _UNKNOWN)
            instance = self._line.machines.instances[key]
        return leases + self.put_details(instance, details)

    def put_details(self, instance: Instance, details: InstanceDetails) -> list[Lease]:
        """Take in what the SDK reports of an instance in memory. Return the leases that this allows."""
        if not instance.is_listed:
            return []
        self._reported[instance.id] = details
        self._unlearned.pop(instance.id, None)
        self._apply(instance)
        return self._line.put(instance, monotonic())

    def unlearned(self, box: str) -> list[Instance]:
        """Return the instances of a box that the SDK is to be asked about."""
        return [one for one in self.listed(box) if one.id in self._unlearned and self._needs_sdk(one)]

    def put_nothing(self, instance: Instance) -> None:
        """Take in that the SDK reports nothing of an instance."""
        self._unlearned.pop(instance.id, None)
        instance.may_share = False

    def put_unreachable(self, box: str) -> None:
        """Take in that the SDK can't be asked. Until it can, no prompt is measured."""
        for one in self.unlearned(box):
            one.may_share = False

    def _needs_sdk(self, instance: Instance) -> bool:
        """True if the SDK may report what decides how many requests run."""
        if instance.kind != "llm" or not self._config().queue.enabled:
            return False
        return self.has_guard(instance.model) or self._details[instance.id].slots is None

    def update(self) -> None:
        """Give the instances what the configuration in force says."""
        for instance in self._line.machines.instances.values():
            self._apply(instance)

    def listed(self, box: str) -> list[Instance]:
        """Return the instances that are in a box's memory."""
        return [one for one in self._line.machines.instances.values() if one.is_listed and one.id.box == box]

    def shares_context(self, ticket: Ticket) -> bool:
        """True if what a request needs of the context may decide what runs beside it."""
        only = self._line.machines.only.get(ticket.group.wanted)
        if only is not None and not only.may_share:
            return False  # nearly every request
        if ticket.kind != "llm" or ticket.group.wanted.box in self._blind:
            return False
        instances = self._line.machines.of(ticket)
        return any(one.may_share for one in instances) if instances else self.has_guard(ticket.model)

    def has_guard(self, model: str) -> bool:
        """True if the requests of a model may be kept from overfilling a context that they share."""
        config = self._config()
        profile = config.models.get(model)
        return config.queue.enabled and (profile is None or profile.context_guard)

    def _apply(self, instance: Instance) -> None:
        listed = self._details.get(instance.id, _UNKNOWN)
        reported = self._reported.get(instance.id, _UNKNOWN)
        instance.slots = self._slots(instance.model, instance.kind, listed.slots or reported.slots)
        is_shared = reported.unified_cache and self.has_guard(instance.model)
        instance.context = (listed.context or reported.context) if is_shared else None
        is_unknown = not instance.is_listed or instance.id in self._unlearned
        instance.may_share = instance.context is not None or (is_unknown and self.has_guard(instance.model))

    def _slots(self, model: str, kind: ModelType, reported: int | None) -> int:
        config = self._config()
        if not config.queue.enabled:
            return _ANY_NUMBER
        profile = config.models.get(model)
        configured = 0 if profile is None else profile.slots
        return configured or (1 if kind == "embedding" else reported) or usual_slots(kind)


_NO_MODEL = KnownModel("")
