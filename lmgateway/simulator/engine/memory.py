"""The instances in memory, by identifier."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from . import load_config
from .catalogue import Catalogue, Domain
from .faults import (
    IdentifierInUse,
    InstanceUnloaded,
    NothingMatches,
    UnknownIdentifier,
    WrongDomain,
)
from .instance import Instance
from .ledger import Ledger
from .load_order import LoadOrder
from .load_records import Origin, Unload, UnloadReason, loop_time
from .room import Room
from .slots import Slots
from .switches import Switches


class LoadInProgress:
    """A load with the identifier that is reserved for it."""

    def __init__(self, order: LoadOrder, identifier: str) -> None:
        self.order = order
        self.identifier = identifier
        self.has_memory = False


class Memory:
    """The owner of the instances. `on_gone` is called when one of them is on no list any more."""

    def __init__(
        self, catalogue: Catalogue, switches: Switches, ledger: Ledger, on_gone: Callable[[Instance], None]
    ) -> None:
        self.room = Room(switches.memory_bytes, guardrail=switches.guardrail)
        self._catalogue = catalogue
        self._switches = switches
        self._ledger = ledger
        self._on_gone = on_gone
        self._instances: dict[str, Instance] = {}
        self._loading: set[str] = set()

    @contextmanager
    def loading(self, order: LoadOrder) -> Iterator[LoadInProgress]:
        """Record a load, which ends with this block, and reserve its instance's identifier for it.

        Raises IdentifierInUse or GuardrailRefusal. Memory is given back unless the block ends with `place()`.
        """
        identifier = order.identifier or self._free_identifier(order.model.model_key)
        if identifier in self._loading or identifier in self._instances:
            raise IdentifierInUse(identifier)
        self._loading.add(identifier)
        load = LoadInProgress(order, identifier)
        try:
            with self._ledger.load(order.model.model_key, identifier, order.origin):
                self.room.begin(order.model)
                yield load
        finally:
            self._loading.discard(identifier)
            if load.has_memory and identifier not in self._instances:
                self.room.give_back(order.model)

    def allocate(self, load: LoadInProgress) -> None:
        """Take the memory of a load, if it has none yet. Raises LoadFailed."""
        load.order.check_fits()
        if not load.has_memory:
            self.room.take(load.order.model)
            load.has_memory = True

    def place(self, load: LoadInProgress) -> Instance:
        """The last step of a load."""
        self.allocate(load)
        order, identifier = load.order, load.identifier
        defaults: load_config.Settings = {
            load_config.PARALLEL: self._switches.parallel,
            load_config.UNIFIED_KV_CACHE: self._switches.unified_kv_cache,
        }
        settings = load_config.applied(order.model, defaults, order.settings)
        crashes = self._switches.crash_on_two and order.model.type == "llm"
        instance = Instance(
            order.model,
            identifier,
            settings,
            self._slots(order, identifier, settings),
            origin=order.origin,
            ttl_seconds=order.ttl_seconds,
            on_idle=partial(self._remove, reason="idle"),
            on_crash=partial(self._remove, reason="crashed") if crashes else None,
        )
        self._instances[identifier] = instance
        return instance

    def unload(self, identifier: str, domain: Domain | None = None, *, by: Origin = "hand") -> None:
        """Unload at once. Raises as `unloading()`."""
        with self.unloading(identifier, domain, by=by):
            pass

    @contextmanager
    def unloading(self, identifier: str, domain: Domain | None = None, *, by: Origin) -> Iterator[None]:
        """Unload an instance. Its requests fail at once (assumed); it is listed until the block ends.

        Raises UnknownIdentifier, also while it is being unloaded, or WrongDomain.
        """
        instance = self._instances.get(identifier)
        if instance is None or not instance.loaded:
            raise UnknownIdentifier(identifier, self._instances)
        _check_domain(instance, domain)
        self._end(instance, "asked", by)
        try:
            yield
        finally:
            self._forget(instance)

    def evict(self, domain: str) -> list[Instance]:
        """Unload the just-in-time instances, busy or not, and return them. Those being loaded stay."""
        evicted = [one for one in self.instances(domain) if one.origin == "jit" and one.loaded]
        for instance in evicted:
            self._remove(instance, "evicted")
        return evicted

    def close(self) -> None:
        """End the instances, also of those that are being unloaded."""
        for instance in self._instances.values():
            instance.leave()
        self._instances.clear()

    def instances(self, domain: str | None = None) -> list[Instance]:
        return [one for one in self._instances.values() if domain in (None, one.model.type)]

    def find(self, name: str, domain: str) -> Instance | None:
        """By identifier first, then the oldest instance of a model's key."""
        instance = self._instances.get(name)
        if instance is not None and instance.model.type == domain:
            return instance
        return next((one for one in self.instances(domain) if one.model.model_key == name), None)

    def referred(self, reference: str) -> Instance:
        """Return the instance with this reference; its identifier may belong to a newer instance by now."""
        for instance in self._instances.values():
            if instance.reference == reference:
                return instance
        raise InstanceUnloaded

    def matching(self, query: Mapping[str, object], domain: Domain) -> Instance:
        """`{"identifier"?,"path"?,"vision"?}`; an empty query matches the oldest instance."""
        identifier = query.get("identifier")
        other = self._instances.get(identifier) if isinstance(identifier, str) else None
        if other is not None:
            _check_domain(other, domain)
        for instance in self.instances(domain):
            if self._answers(instance, query):
                return instance
        raise NothingMatches(dict(query), [one.identifier for one in self.instances(domain)])

    def description(self, instance: Instance) -> dict[str, object]:
        """Return its JSON in the SDK's protocol: the model's fields, and those of an instance."""
        ttl = instance.ttl_seconds
        return {
            **self._catalogue.description(instance.model),
            "identifier": instance.identifier,
            "instanceReference": instance.reference,
            "ttlMs": None if ttl is None else round(ttl * 1000),
            "lastUsedTime": instance.last_used_ms,
            "contextLength": instance.context_length,
        }

    def _answers(self, instance: Instance, query: Mapping[str, object]) -> bool:
        model = instance.model
        path = self._catalogue.description(model)["path"]
        return (
            query.get("identifier") in (None, instance.identifier, model.model_key)
            and query.get("path") in (None, path, model.model_key)
            and query.get("vision") in (None, model.vision)
        )

    def _free_identifier(self, key: str) -> str:
        identifier, number = key, 1
        while identifier in self._loading or identifier in self._instances:
            number += 1
            identifier = f"{key}:{number}"
        return identifier

    def _slots(self, order: LoadOrder, identifier: str, settings: load_config.Settings) -> Slots:
        prefill = self._switches.prefill
        if prefill == "auto":
            prefill = "slow" if order.model.format == "gguf" else "stop"
        return Slots(
            load_config.parallel(settings),
            context_length=load_config.context_length(settings, order.model.type),
            unified_cache=settings.get(load_config.UNIFIED_KV_CACHE) is True,
            prefill=prefill,
            share_speed=self._switches.share_speed,
            occupancies=self._ledger.loaded(identifier, order.model.model_key, order.origin),
        )

    def _remove(self, instance: Instance, reason: UnloadReason) -> None:
        if instance.loaded:
            self._end(instance, reason)
            self._forget(instance)

    def _end(self, instance: Instance, reason: UnloadReason, by: Origin | None = None) -> None:
        unload = Unload(
            identifier=instance.identifier,
            model=instance.model.model_key,
            reason=reason,
            busy=len(instance.slots.running),
            queued=len(instance.slots.waiting),
            loaded_by=instance.origin,
            unloaded_by=by,
            at=loop_time(),
        )
        instance.leave(crashed=reason == "crashed")
        self._ledger.unloaded(unload)

    def _forget(self, instance: Instance) -> None:
        if self._instances.get(instance.identifier) is instance:
            del self._instances[instance.identifier]
            self._on_gone(instance)


def _check_domain(instance: Instance, domain: Domain | None) -> None:
    if domain is not None and instance.model.type != domain:
        raise WrongDomain(instance.identifier, actual=instance.model.type, expected=domain)
