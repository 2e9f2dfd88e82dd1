"""The active models, which answer requests without a `model`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol

from msgspec import structs

from ..background import DetachedTasks
from ..boxes.inventory import KINDS
from ..observe.activity import Activity
from ..observe.events import ModelActivate
from ..schema.common import ModelType
from ..schema.models import ActiveModel, ActiveModels, LoadedModel
from .names import refers_to


class ActiveModelStorage(Protocol):
    """Storage of the active models across restarts."""

    async def load(self) -> ActiveModels: ...

    async def save(self, active: ActiveModels) -> None:
        """Replace the saved models. If it raises StateNotSaved, the previous ones are still saved."""


class ActiveModelRegistry:
    """The owner of the active models, at most one of each type. It loads and unloads nothing.

    A change that can't be saved isn't made. A change is completed even if its caller is cancelled, so that
    the saved models and the active ones never differ.
    """

    def __init__(self, storage: ActiveModelStorage, activity: Activity) -> None:
        self._storage = storage
        self._activity = activity
        self._active = ActiveModels()
        self._lock = asyncio.Lock()
        self._changes = DetachedTasks()

    async def restore(self) -> None:
        """Activate the saved models."""
        self._active = await self._storage.load()

    async def close(self) -> None:
        await self._changes.close()

    @property
    def current(self) -> ActiveModels:
        return self._active

    def is_active(self, name: str) -> bool:
        """True if this is the key or the name of an active model."""
        models = map(self._active.of, KINDS)
        return any(model is not None and name in {model.model_key, model.name} for model in models)

    def mark(self, loaded: Sequence[LoadedModel]) -> tuple[LoadedModel, ...]:
        """Return the instances, those of the active models with `active` set."""
        active = {name for kind in KINDS for name in _identifiers(self._active, kind, loaded)}
        return tuple(structs.replace(instance, active=instance.identifier in active) for instance in loaded)

    async def activate(self, kind: ModelType, model: ActiveModel) -> None:
        """Make this the active model of its type. Raises StateNotSaved."""
        await self._changes.run(self._activate(kind, model))

    async def _activate(self, kind: ModelType, model: ActiveModel) -> None:
        with self._activity.operation("model_activate", model.model_key):
            await self._change(lambda active: active.replacing(kind, model))
        self._activity.events.publish(
            ModelActivate(
                model_key=model.model_key,
                instance_id=model.instance_id,
                default_inference=model.default_inference,
            )
        )

    async def deactivate(self, kind: ModelType | None = None) -> None:
        """Leave no model of this type active, or none at all. Raises StateNotSaved."""
        kinds = KINDS if kind is None else (kind,)
        await self._changes.run(self._change(partial(_without, kinds=kinds)))

    async def forget(
        self, unloaded: Sequence[LoadedModel], remaining: Sequence[LoadedModel]
    ) -> tuple[ModelType, ...]:
        """Deactivate the models that had an unloaded instance and have no remaining one; return their types.

        Raises StateNotSaved.
        """
        return await self._changes.run(self._forget(unloaded, remaining))

    async def _forget(
        self, unloaded: Sequence[LoadedModel], remaining: Sequence[LoadedModel]
    ) -> tuple[ModelType, ...]:
        before, after = await self._change(partial(_forgetting, unloaded=unloaded, remaining=remaining))
        return tuple(kind for kind in KINDS if before.of(kind) and not after.of(kind))

    async def _change(
        self, change: Callable[[ActiveModels], ActiveModels]
    ) -> tuple[ActiveModels, ActiveModels]:
        """Return the active models before and after the change."""
        # One change at a time: each starts from the result of the one before.
        async with self._lock:
            before = self._active
            after = change(before)
            if after is not before:
                await self._storage.save(after)
                self._active = after
            return before, after


def _forgetting(
    active: ActiveModels, *, unloaded: Sequence[LoadedModel], remaining: Sequence[LoadedModel]
) -> ActiveModels:
    def is_gone(kind: ModelType) -> bool:
        return bool(_identifiers(active, kind, unloaded)) and not _identifiers(active, kind, remaining)

    return _without(active, filter(is_gone, KINDS))


def _without(active: ActiveModels, kinds: Iterable[ModelType]) -> ActiveModels:
    for kind in kinds:
        active = active.replacing(kind, None)
    return active


def _identifiers(active: ActiveModels, kind: ModelType, loaded: Iterable[LoadedModel]) -> list[str]:
    """Return the identifiers of the instances that LM Studio may use for the active model of this type.

    LM Studio uses the instance whose identifier is the requested name, otherwise any instance of the model.
    """
    model = active.of(kind)
    if model is None:
        return []
    names = [
        instance.identifier for instance in loaded if instance.kind == kind and refers_to(model, instance)
    ]
    return [model.name] if model.name in names else names
