"""The models in memory, of all boxes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .context_guard import ContextNeeds
from .slots import Instance, InstanceId
from .tickets import Ticket


class Machines:
    """The owner of the instances, and of what is learned of each model's needs."""

    def __init__(self) -> None:
        self.instances: dict[InstanceId, Instance] = {}
        self._by_box: dict[str, list[Instance]] = {}
        self._by_model: dict[str, list[Instance]] = {}
        self._needs: dict[str, ContextNeeds] = {}

    def add(self, instance: Instance) -> None:
        """Add an instance, unless it is there."""
        if instance.id not in self.instances:
            self.instances[instance.id] = instance
            self._by_box.setdefault(instance.id.box, []).append(instance)
            self._by_model.setdefault(instance.model, []).append(instance)

    def of(self, ticket: Ticket) -> Sequence[Instance]:
        """Return the instances on which a request may run."""
        instances = self._by_model.get(ticket.model, ())
        if ticket.instance is None:
            return instances
        return [one for one in instances if one.id.name == ticket.instance]

    def by_box(self) -> Iterable[Sequence[Instance]]:
        return self._by_box.values()

    def learned(self, model: str) -> ContextNeeds:
        return self._needs.setdefault(model, ContextNeeds())

    def needs(self, instance: Instance, ticket: Ticket) -> int:
        """Return the tokens that a request reserves in the instance's context, 0 if it isn't shared."""
        if instance.context is None:
            return 0
        return self.learned(instance.model).of(ticket, instance.context, instance.slots)
