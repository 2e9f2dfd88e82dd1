"""The models in memory, of all boxes."""

from __future__ import annotations

from collections.abc import Sequence

from .affinity import Affinity
from .context_guard import ContextNeeds
from .slots import Instance, InstanceId
from .tickets import Ticket, Wanted


class Machines:
    """The owner of the instances, and of what is learned of each model's needs."""

    def __init__(self) -> None:
        self.instances: dict[InstanceId, Instance] = {}
        # The names of all boxes, the first of the configuration first.
        self.boxes: Sequence[str] = ()
        self.affinity = Affinity()
        # What `of` returned, where that is one instance in memory, until an instance comes, goes or is shut.
        self.only: dict[Wanted, Instance] = {}
        # The boxes whose instances may have gone: no request may run there.
        self.doubtful: set[str] = set()
        # The boxes that aren't up, and those that only get requests which can go nowhere else.
        self.down: set[str] = set()
        self.draining: set[str] = set()
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
        """Forget an instance. What still runs on it takes no slot of another one of its name."""
        if self.instances.get(instance.id) is not instance:
            return
        self.shut(instance)
        del self.instances[instance.id]

    def doubt(self, box: str) -> None:
        self.doubtful.add(box)
        self.only.clear()

    def trust(self, box: str) -> None:
        self.doubtful.discard(box)
        self.only.clear()

    def set_down(self, box: str, is_down: bool) -> None:
        """Send requests to a box no more, or again."""
        (self.down.add if is_down else self.down.discard)(box)
        self.only.clear()

    def set_draining(self, box: str, is_draining: bool) -> None:
        """Send a box only the requests that can go nowhere else, or any again."""
        (self.draining.add if is_draining else self.draining.discard)(box)
        self.only.clear()

    def knows_no_box(self, wanted: Wanted) -> bool:
        """True if it is doubtful what any box has in memory that may get the request."""
        names = (wanted.box,) if wanted.box else self.boxes
        return all(name in self.doubtful for name in names if self.is_open(name, wanted))

    def running_on(self, box: str) -> int:
        """Return how many requests of the gateway run on a box."""
        return sum(len(one.leases) for one in self.instances.values() if one.id.box == box)

    def is_open(self, box: str, wanted: Wanted) -> bool:
        """True if a box may get a request now, but for a doubt about what is in its memory."""
        return wanted.allows(box) and box not in self.down and (box not in self.draining or box == wanted.box)

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
        """Return the instances on which a request may run, also those whose box is doubtful."""
        wanted = ticket.group.wanted
        instances: Sequence[Instance] = self._by_model.get(wanted.model, ())
        if wanted.instance is not None:
            instances = _named(instances, wanted)
        if self.down or self.draining or wanted.passed or wanted.box:
            instances = [one for one in instances if self.is_open(one.id.box, wanted)]
        if not instances and wanted.box and self.is_open(wanted.box, wanted):
            # LM Studio answers with the instance of this identifier, whatever its model is by now.
            named = self.instances.get(InstanceId(wanted.box, wanted.instance or wanted.model))
            instances = () if named is None or named.state != "resident" else (named,)
        if len(instances) < 2:
            if instances and instances[0].is_listed and instances[0].id.box not in self.doubtful:
                self.only[wanted] = instances[0]
            return instances
        # One that LM Studio doesn't list only gets new requests if there is no other.
        return [one for one in instances if one.is_listed] or instances

    def serves(self, ticket: Ticket, box: str) -> None:
        """Take in that a box answers a request that may have a conversation."""
        if ticket.conversation is not None:
            self.affinity.served(ticket.account.key, ticket.model, ticket.conversation, box)

    def served_by(self, ticket: Ticket) -> str | None:
        """Return the box that served the beginning of the request's conversation last, None for none."""
        if ticket.conversation is None:
            return None
        return self.affinity.box_of(ticket.account.key, ticket.model, ticket.conversation)

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


def _named(instances: Sequence[Instance], wanted: Wanted) -> Sequence[Instance]:
    """Return those of the wanted identifier.

    Where that is the model's key, and any box may answer, others count on the boxes that have none of this
    identifier.
    """
    named = [one for one in instances if one.id.name == wanted.instance]
    if wanted.box or wanted.instance != wanted.model:
        return named
    boxes = {one.id.box for one in named}
    return [*named, *(one for one in instances if one.id.box not in boxes)]
