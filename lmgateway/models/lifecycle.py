"""Loads, activates and unloads models for an admin, and updates the active models accordingly."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from ..background import DetachedTasks, join
from ..boxes.box import Box
from ..boxes.load_in_progress import LoadProfiles
from ..boxes.load_order import LoadedInstance
from ..errors import GatewayError, ModelNotFound, StateNotSaved
from ..observe.activity import Activity
from ..schema.common import ModelType, likely_type
from ..schema.models import (
    ActivateRequest,
    ActiveModel,
    DefaultInference,
    DownloadedModel,
    InstanceRequest,
    LoadedModel,
    LoadRequest,
)
from .active import ActiveModelRegistry
from .availability import UNANSWERED, Availability, look_up
from .memory import Drain, ModelMemory
from .names import model_not_found, refers_to

_HOW_TO_FORCE = 'To activate it all the same, send "force": true (`lmgateway activate --force`).'


class Listed(NamedTuple):
    """The models in memory, and those on disk."""

    loaded: tuple[LoadedModel, ...]
    downloaded: tuple[DownloadedModel, ...]


class Activation(NamedTuple):
    active: ActiveModel
    availability: Availability


class Unloaded(NamedTuple):
    """The unloaded instances, and the types whose active model was deactivated."""

    identifiers: tuple[str, ...] = ()
    deactivated: tuple[ModelType, ...] = ()


class ModelLifecycle:
    """Has models loaded and unloaded, and then updates the registry of active models.

    Loads and unloads are completed even if the caller is cancelled: LM Studio completes them too, and the
    active models must be updated afterwards. But an unload that still waits for requests is taken back.
    """

    def __init__(self, active: ActiveModelRegistry, activity: Activity, memory: ModelMemory) -> None:
        self._active = active
        self._activity = activity
        self._memory = memory
        self._tasks = DetachedTasks()

    async def close(self) -> None:
        await self._tasks.close()

    async def listing(self, box: Box) -> Listed:
        """Return the models on disk and in memory. Raises as SdkCalls."""
        downloaded, loaded = await asyncio.gather(box.sdk.downloaded(), box.sdk.loaded())
        return Listed(self._active.mark(loaded), downloaded)

    async def load(self, request: LoadRequest, box: Box, profiles: LoadProfiles) -> LoadedInstance:
        """Load a model, unless it has an instance, and activate it, unless the request says otherwise.

        Raises as ModelMemory.load, ModelNotFound with near names, and StateNotSaved.
        """
        return await self._tasks.run(self._load(request, box, profiles))

    async def _load(self, request: LoadRequest, box: Box, profiles: LoadProfiles) -> LoadedInstance:
        try:
            instance = await self._memory.load(request, box, profiles)
        except ModelNotFound as exc:
            raise model_not_found(request.model_key, await _keys_on_disk(box)) from exc
        if request.activates:
            # An instance whose identifier LM Studio chose can only be requested by that identifier.
            own_name = instance.identifier if instance.identifier != request.model_key else None
            active = ActiveModel(
                model_key=request.model_key,
                instance_id=request.instance_id or own_name,
                default_inference=request.default_inference or DefaultInference(),
            )
            try:
                await self._active.activate(instance.type, active)
            except StateNotSaved as exc:
                raise StateNotSaved(f"{instance.identifier} is loaded. {exc.message}") from exc
        return instance

    async def cancel_load(self, request: InstanceRequest, box: Box) -> list[str]:
        """Cancel the matching loads; return the identifiers that they would have had. As Loads.cancel."""
        return await box.loads.cancel(request)

    async def activate(self, request: ActivateRequest, box: Box | None = None) -> Activation:
        """Make this the active model of its type, loaded or not.

        Without a box, LM Studio isn't asked whether it has the model. Raises ModelNotFound with near names if
        it hasn't, unless the request says `force`, and StateNotSaved.
        """
        active = ActiveModel(
            model_key=request.model_key,
            instance_id=request.instance_id,
            default_inference=request.default_inference or DefaultInference(),
        )
        availability = Availability("unknown") if box is None else await look_up(active, box)
        if availability.place == "missing" and request.force is not True:
            raise model_not_found(request.model_key, availability.keys, _HOW_TO_FORCE)
        kind = request.type or availability.type or self._likely_type(request.model_key)
        await self._active.activate(kind, active)
        return Activation(active, availability)

    def _likely_type(self, model_key: str) -> ModelType:
        """Return the type of the active model with this key, otherwise guess it from LM Studio's prefix."""
        embedding = self._active.current.active_embedding_model
        is_active = embedding is not None and embedding.model_key == model_key
        return "embedding" if is_active else likely_type(model_key)

    async def unload(self, request: InstanceRequest, box: Box, drain: Drain) -> Unloaded:
        """Unload exactly the named instance, or every one of the model, all at the same time.

        An active model without an instance left becomes inactive. Raises as SdkCalls.loaded and
        ModelMemory.unload, and StateNotSaved.
        """
        unloading = self._tasks.start(self._unload(request, box, drain))
        try:
            return await join(unloading)
        except asyncio.CancelledError:
            drain.given_up.set()
            raise

    async def _unload(self, request: InstanceRequest, box: Box, drain: Drain) -> Unloaded:
        with self._activity.operation("model_unload", request.model_key) as operation:
            # What is unloaded is an operation of its own; this one only tells if the list can't be had.
            operation.changed_nothing = True
            loaded = await box.sdk.loaded()
        matching = [instance for instance in loaded if refers_to(request, instance)]
        unloads = (self._memory.unload(one.kind, one.identifier, box, drain) for one in matching)
        outcomes = await asyncio.gather(*unloads, return_exceptions=True)
        unloaded = [one for one, outcome in zip(matching, outcomes, strict=True) if outcome is None]
        # Also if some of them failed: the others are no longer in memory.
        deactivated = await self._forget(unloaded, [one for one in loaded if one not in unloaded])
        if failures := [outcome for outcome in outcomes if outcome is not None]:
            raise _joined(failures, unloaded)
        return Unloaded(tuple(instance.identifier for instance in unloaded), deactivated)

    async def _forget(
        self, unloaded: Sequence[LoadedModel], remaining: Sequence[LoadedModel]
    ) -> tuple[ModelType, ...]:
        try:
            return await self._active.forget(unloaded, remaining)
        except StateNotSaved as exc:
            raise StateNotSaved(f"{_names(unloaded)} is unloaded. {exc.message}") from exc


def _joined(failures: Sequence[BaseException], unloaded: Sequence[LoadedModel]) -> BaseException:
    """Return the worst of these failures, with the messages of all of them, and what was unloaded."""
    errors = [failure for failure in failures if isinstance(failure, GatewayError)]
    if len(errors) < len(failures):  # a fault, or the end of the process
        return next(failure for failure in failures if failure not in errors)
    worst = max(errors, key=lambda error: error.status)
    if len(errors) == 1 and not unloaded:
        return worst
    sentences = [error.message for error in errors]
    if unloaded:
        sentences.append(f"Unloaded {_names(unloaded)}.")
    return type(worst)(" ".join(sentences), details=worst.details, headers=worst.headers)


def _names(instances: Sequence[LoadedModel]) -> str:
    return ", ".join(instance.identifier for instance in instances)


async def _keys_on_disk(box: Box) -> list[str]:
    """Return the keys of the models on disk, none if LM Studio can't be asked."""
    try:
        return [model.model_key for model in await box.sdk.downloaded(attempts=1)]
    except UNANSWERED:
        return []
