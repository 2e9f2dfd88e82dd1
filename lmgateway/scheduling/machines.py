"""The models in memory, of all boxes."""

from __future__ import annotations

from collections.abc import Sequence

from .context_guard import ContextNeeds
from .slots import Instance, InstanceId
from .tickets import Ticket, Wanted


class Machines:
    """The owner of the instances, and of what is learned of each model's needs."""

    def __init__(self) -> None:
        self.instances: dict[InstanceId, Instance] = {}
        # What `of` returned, where that is one instance in memory, until an instance comes, goes or is shut.
        self.only: dict[Wanted, Instance] = {}
        # True while the instances may have gone: then no request may run.
        self.is_doubtful = False
        self._by_model: dict[str, list[Instance]] = {}
        self._needs: dict[str, ContextNeeds] = {}

    def add(self, instance: Instance) -> None:
        """Add an instance, unless it is there; one of the same name is forgotten."""
        other = self.instances.get(instance.id)
        if other is not None and other is not instance:
            self.discard(other)
        if other is not instance:
            self.instances[instance.id] = instance
            self.only.clear()
            self._by_model.setdefault(instance.model, []).append(instance)

    def discard(self, instance: Instance) -> None:
        """Forget an instance on which nothing runs."""
        if self.instances.get(instance.id) is not instance:
            return
        self.shut(instance)
        del self.instances[instance.id]

    def doubt(self) -> None:
        self.is_doubtful = True
        self.only.clear()

    def trust(self) -> None:
        self.is_doubtful = False

    def shut(self, instance: Instance) -> None:
        """Have no more requests find an instance."""
        self.only.clear()
        others = self._by_model.get(instance.model, [])
        if instance in others:
            others.remove(instance)
            if not others:
                del self._by_model[instance.model]

    def open(self, instance: Instance) -> None:
        """Have requests find an instance again, if it is still there."""
        self.only.clear()
        others = self._by_model.setdefault(instance.model, [])
        if self.instances.get(instance.id) is instance and instance not in others:
            others.append(instance)
        if not others:
            del self._by_model[instance.model]

    def of(self, ticket: Ticket) -> Sequence[Instance]:
        """Return the instances on which a request may run."""
        wanted = ticket.group.wanted
        instances: Sequence[Instance] = (
            self._by_model.get(wanted.model, ()) if wanted.instance is None else ()
        )
        if not instances:
            # LM Studio answers with the instance of this identifier, whatever its model is by now.
            named = self.instances.get(InstanceId(wanted.box, wanted.instance or wanted.model))
            instances = () if named is None or named.state != "resident" else (named,)
        if len(instances) < 2:
            if instances and instances[0].is_listed and not self.is_doubtful:
                self.only[wanted] = instances[0]
            return instances
        # One that LM Studio doesn't list only gets new requests if there is no other.
        return [one for one in instances if one.is_listed] or instances

    def learned(self, model: str) -> ContextNeeds:
        needs = self._needs.get(model)
        if needs is None:
            needs = self._needs[model] = ContextNeeds()
        return needs

    def needs(self, instance: Instance, ticket: Ticket) -> int:
        """Return the tokens that a request reserves in the instance's context, 0 if it isn't shared."""
        if instance.context is None:
            return 0
        return self.learned(instance.model).of(ticket, instance.context, instance.slots)
