"""The instances in memory, by identifier."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

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


class LoadOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A load: the model and its settings. The default identifier is the model's key, then `key:2`, …"""

    model: Model
    identifier: str | None = None
    settings: load_config.Settings = {}
    ttl_seconds: float | None = None

    def applied_settings(self) -> load_config.Settings:
        return load_config.applied(self.model, self.settings)

    def context_length(self) -> int:
        return load_config.context_length(self.applied_settings(), self.model.type)

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

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
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
        instance = Instance(
            order.model,
            identifier,
            order.applied_settings(),
            ttl_seconds=order.ttl_seconds,
            on_idle=self._remove,
        )
        self._instances[identifier] = instance
        return instance

    def unload(self, identifier: str, domain: Domain | None = None) -> None:
        """Raises UnknownIdentifier, or WrongDomain where the name is another domain's."""
        instance = self._instances.get(identifier)
        if instance is None:
            raise UnknownIdentifier(identifier, self._instances)
        _check_domain(instance, domain)
        self._remove(instance)

    def close(self) -> None:
        for instance in list(self._instances.values()):
            self._remove(instance)

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

    def _remove(self, instance: Instance) -> None:
        del self._instances[instance.identifier]
        instance.leave()


def _check_domain(instance: Instance, domain: Domain | None) -> None:
    if domain is not None and instance.model.type != domain:
        raise WrongDomain(instance.identifier, actual=instance.model.type, expected=domain)
