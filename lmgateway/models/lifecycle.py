"""Loads, activates and unloads models for an admin, and updates the active models accordingly."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

from ..background import DetachedTasks, join
from ..boxes import box_models
from ..boxes.box import Box
from ..boxes.box_models import BoxModels
from ..boxes.box_set import BoxSet
from ..boxes.load_in_progress import LoadProfiles
from ..boxes.load_order import LoadedInstance
from ..errors import GatewayError, ModelNotFound, StateNotSaved
from ..observe.activity import Activity
from ..schema.common import ModelType, likely_type
from ..schema.models import (
    ActivateRequest,
    ActiveModel,
    DefaultInference,
    InstanceRequest,
    LoadedModel,
    LoadRequest,
)
from .active import ActiveModelRegistry
from .availability import Availability, look_up
from .memory import Drain, ModelMemory
from .names import model_not_found, refers_to
from .unloads import BoxUnload, boxes_to_unload, joined

_HOW_TO_FORCE = 'To activate it all the same, send "force": true (`lmgateway activate --force`).'


class Activation(NamedTuple):
    active: ActiveModel
    availability: Availability


class Unloaded(NamedTuple):
    """The unloaded instances, and the types whose active model was deactivated.

    `names` are the identifiers for people: of several boxes, each with its box.
    """

    identifiers: tuple[str, ...]
    names: str
    deactivated: tuple[ModelType, ...]


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

    async def listing(self, boxes: BoxSet) -> list[BoxModels]:
        """Return each box's models on disk and in memory. Raises as models_of."""
        return [
            one._replace(loaded=self._active.mark(one.loaded)) for one in await box_models.models_of(boxes)
        ]

    async def load(
        self, request: LoadRequest, box: Box, profiles: LoadProfiles, others: Iterable[str] = ()
    ) -> LoadedInstance:
        """Load a model, unless it has an instance, and activate it, unless the request says otherwise.

        `others` are the keys of models on other boxes, which may be near to a name that doesn't exist. Raises
        as ModelMemory.load, ModelNotFound with near names, and StateNotSaved.
        """
        return await self._tasks.run(self._load(request, box, profiles, others))

    async def _load(
        self, request: LoadRequest, box: Box, profiles: LoadProfiles, others: Iterable[str]
    ) -> LoadedInstance:
        try:
            instance = await self._memory.load(request, box, profiles)
        except ModelNotFound as exc:
            keys = dict.fromkeys([*await _keys_on_disk(box), *others])
            raise model_not_found(request.model_key, keys) from exc
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

    async def cancel_load(self, request: InstanceRequest, boxes: BoxSet) -> list[str]:
        """Cancel the matching loads on any box; return the identifiers that they would have had.

        Raises as Loads.cancel, and BoxNotFound.
        """
        asked = boxes if request.box is None else [boxes.named(request.box)]
        outcomes = await asyncio.gather(*(box.loads.cancel(request) for box in asked), return_exceptions=True)
        failures = [one for one in outcomes if isinstance(one, BaseException)]
        if worse := [one for one in failures if not isinstance(one, ModelNotFound)]:
            raise joined(worse)
        if len(failures) == len(outcomes):
            raise failures[0]
        return [name for one in outcomes if not isinstance(one, BaseException) for name in one]

    async def activate(self, request: ActivateRequest, boxes: BoxSet | None = None) -> Activation:
        """Make this the active model of its type, loaded or not.

        Without boxes, no LM Studio is asked whether it has the model. Raises ModelNotFound with near names if
        none has it, unless the request says `force`, and StateNotSaved.
        """
        active = ActiveModel(
            model_key=request.model_key,
            instance_id=request.instance_id,
            default_inference=request.default_inference or DefaultInference(),
        )
        availability = Availability("unknown") if boxes is None else await look_up(active, boxes)
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

    async def unload(self, request: InstanceRequest, boxes: BoxSet, drain: Drain) -> Unloaded:
        """Unload exactly the named instance, or every one of the model, all at the same time.

        That is on the named box, else on all that are up. An active model without an instance left becomes
        inactive. Raises as SdkCalls.loaded and ModelMemory.unload, BoxNotFound, UpstreamUnavailable, and
        StateNotSaved.
        """
        unloading = self._tasks.start(self._unload(request, boxes, drain))
        try:
            return await join(unloading)
        except asyncio.CancelledError:
            drain.given_up.set()
            raise

    async def _unload(self, request: InstanceRequest, boxes: BoxSet, drain: Drain) -> Unloaded:
        asked = boxes_to_unload(request, boxes)
        unloads = await asyncio.gather(*(self._unload_from(box, request, drain) for box in asked))
        unloaded = [instance for one in unloads for instance in one.unloaded]
        is_only = boxes.only is not None
        names = ", ".join(one.names(with_box=not is_only) for one in unloads if one.unloaded)
        # Also if some of them failed: the others are no longer in memory.
        deactivated: tuple[ModelType, ...] = ()
        if unloaded:
            others = [box for box in boxes if box not in asked]
            elsewhere = await asyncio.gather(*map(box_models.loaded_on, others))
            remaining = chain(*(one.remaining for one in unloads), *elsewhere)
            deactivated = await self._forget(unloaded, [*remaining], names)
        if failures := [failure for one in unloads for failure in one.failures]:
            places = [one.box.name for one in unloads for _ in one.failures]
            raise joined(failures, f"Unloaded {names}." if unloaded else "", () if is_only else places)
        return Unloaded(tuple(instance.identifier for instance in unloaded), names, deactivated)

    async def _unload_from(self, box: Box, request: InstanceRequest, drain: Drain) -> BoxUnload:
        try:
            with self._activity.operation("model_unload", request.model_key) as operation:
                # What is unloaded is an operation of its own; this one only tells if the list can't be had.
                operation.changed_nothing = True
                loaded = await box.sdk.loaded()
        except GatewayError as exc:
            return BoxUnload(box, (), box_models.recalled(box).loaded, (exc,))
        matching = [instance for instance in loaded if refers_to(request, instance)]
        unloads = (self._memory.unload(one.kind, one.identifier, box, drain) for one in matching)
        outcomes = await asyncio.gather(*unloads, return_exceptions=True)
        unloaded = tuple(one for one, outcome in zip(matching, outcomes, strict=True) if outcome is None)
        return BoxUnload(
            box,
            unloaded,
            tuple(one for one in loaded if one not in unloaded),
            tuple(outcome for outcome in outcomes if outcome is not None),
        )

    async def _forget(
        self, unloaded: Sequence[LoadedModel], remaining: Sequence[LoadedModel], names: str
    ) -> tuple[ModelType, ...]:
        try:
            return await self._active.forget(unloaded, remaining)
        except StateNotSaved as exc:
            raise StateNotSaved(f"{names} is unloaded. {exc.message}") from exc


async def _keys_on_disk(box: Box) -> list[str]:
    """Return the keys of the models on disk, none if LM Studio can't be asked."""
    try:
        return [model.model_key for model in await box.sdk.downloaded(attempts=1)]
    except box_models.UNANSWERED:
        return []
