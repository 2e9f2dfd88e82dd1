"""The instances in memory, by identifier."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import msgspec

from . import load_config
from .catalogue import Catalogue, Domain, Model
from .faults import (
    IdentifierInUse,
    InstanceUnloaded,
    LoadFailed,
    NothingMatches,
    UnknownIdentifier,
    WrongDomain,
)
from .instance import Instance
from .ledger import Ledger, Origin, Unload, UnloadReason
from .slots import Slots
from .switches import Switches


class LoadOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A load: the model and its settings. The default identifier is the model's key, then `key:2`, …"""

    model: Model
    identifier: str | None = None
    settings: load_config.Settings = {}
    ttl_seconds: float | None = None
    origin: Origin = "hand"

    def context_length(self) -> int:
        return load_config.context_length(load_config.applied(self.model, self.settings), self.model.type)

    def fits(self) -> bool:
        """The simulated memory is as large as a model's maximum context: a longer one exhausts it."""
        return self.context_length() <= self.model.max_context_length

    def fitted(self) -> "LoadOrder":
        """Return it with a context that fits, as LM Studio's AutoFit changes it."""
        if self.fits():
            return self
        shrunk = {load_config.context_length_key(self.model.type): self.model.max_context_length}
        return msgspec.structs.replace(self, settings={**self.settings, **shrunk})

    def check_fits(self) -> None:
        if not self.fits():
            raise LoadFailed(
                f"Insufficient system resources: a context of {self.context_length()} tokens doesn't fit, "
                f"{self.model.max_context_length} would."
            )


class Memory:
    """The owner of the instances."""

    def __init__(self, catalogue: Catalogue, switches: Switches, ledger: Ledger) -> None:
        self._catalogue = catalogue
        self._switches = switches
        self._ledger = ledger
        self._instances: dict[str, Instance] = {}
        self._loading: set[str] = set()

    @contextmanager
    def reserve(self, order: LoadOrder) -> Iterator[str]:
        """Reserve the identifier of the instance that is being loaded, inside this block."""
        identifier = order.identifier or self._free_identifier(order.model.model_key)
        if identifier in self._loading or identifier in self._instances:
            raise IdentifierInUse(identifier)
        self._loading.add(identifier)
        try:
            yield identifier
        finally:
            self._loading.discard(identifier)

    def place(self, order: LoadOrder, identifier: str) -> Instance:
        """The last step of a load, done under `reserve()`."""
        order.check_fits()
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

    def unload(self, identifier: str, domain: Domain | None = None) -> None:
        """Raises UnknownIdentifier, or WrongDomain where the name is another domain's."""
        instance = self._instances.get(identifier)
        if instance is None:
            raise UnknownIdentifier(identifier, self._instances)
        _check_domain(instance, domain)
        self._remove(instance, "asked")

    def evict(self, domain: str) -> list[Instance]:
        """Unload the just-in-time instances, busy or not, and return them. Those being loaded stay."""
        evicted = [one for one in self.instances(domain) if one.origin == "jit"]
        for instance in evicted:
            self._remove(instance, "evicted")
        return evicted

    def close(self) -> None:
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
        del self._instances[instance.identifier]
        busy, queued = len(instance.slots.running), len(instance.slots.waiting)
        unload = Unload(instance.identifier, instance.model.model_key, reason, busy, queued)
        self._ledger.unloads.append(unload)
        instance.leave(crashed=reason == "crashed")


def _check_domain(instance: Instance, domain: Domain | None) -> None:
    if domain is not None and instance.model.type != domain:
        raise WrongDomain(instance.identifier, actual=instance.model.type, expected=domain)
