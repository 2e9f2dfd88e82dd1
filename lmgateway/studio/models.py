"""The models: what there is, what is loaded, and which are active."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from msgspec import structs

from .. import background
from ..errors import ModelNotFound, UpstreamSilent, UpstreamUnavailable
from ..observe.activity import Activity
from ..observe.events import ModelActivate, ModelUnloadComplete, ModelUnloadStart
from ..schema import (
    ActivateRequest,
    ActiveModel,
    ActiveModels,
    DefaultInference,
    InstanceRequest,
    LoadedModel,
    LoadRequest,
    ModelList,
    ModelType,
)
from . import catalogue
from .client import StudioClient
from .loads import LoadedInstance, Loads
from .state_file import StateFile

T = TypeVar("T")


class Models:
    """The owner of what is active. Others ask; only its methods change anything."""

    def __init__(self, client: StudioClient, activity: Activity, state_file: StateFile) -> None:
        self._loads = Loads(client, activity)
        self._client = client
        self._activity = activity
        self._state_file = state_file
        self._active = ActiveModels()
        self._changing = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()

    def remember(self) -> None:
        """Make active again what was active before the last end."""
        self._active = self._state_file.load()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self._loads.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def active(self) -> ActiveModels:
        return self._active

    async def listing(self) -> ModelList:
        """Return what LM Studio has on disk and in memory. Raises as StudioClient."""
        downloaded, loaded = await asyncio.gather(self._client.downloaded(), self._client.loaded())
        return ModelList(loaded=tuple(map(self._marked, loaded)), downloaded=downloaded)

    def _marked(self, model: LoadedModel) -> LoadedModel:
        active = self._active.of(model.kind)
        return structs.replace(model, active=active is not None and _is_meant(model, active))

    async def load(self, request: LoadRequest) -> LoadedInstance:
        """Load a model and, unless told otherwise, make it active.

        Both go on if the caller leaves. Raises as Loads.load, and StateNotSaved.
        """
        return await self._seen_through(self._load_and_activate(request))

    async def _load_and_activate(self, request: LoadRequest) -> LoadedInstance:
        instance = await self._loads.load(request)
        if request.activates:
            # An instance that LM Studio had to give a name of its own is only reached by that name.
            own_name = instance.identifier if instance.identifier != request.model_key else None
            active = ActiveModel(
                model_key=request.model_key,
                instance_id=request.instance_id or own_name,
                default_inference=request.default_inference or DefaultInference(),
            )
            await self._make_active(instance.type, active)
        return instance

    async def cancel_load(self, request: InstanceRequest) -> None:
        """Take back the loads of that name. Raises as Loads.cancel."""
        await self._loads.cancel(request)

    async def activate(self, request: ActivateRequest) -> ActiveModel:
        """Make this the active model of its type. Nothing is loaded. Raises StateNotSaved."""
        active = ActiveModel(
            model_key=request.model_key,
            instance_id=request.instance_id,
            default_inference=request.default_inference or DefaultInference(),
        )
        kind = request.type or await self._kind_of(request.model_key)
        await self._seen_through(self._make_active(kind, active))
        return active

    async def deactivate(self, kind: ModelType | None) -> None:
        """Forget the active model of this type, or both. Raises StateNotSaved."""
        kinds = catalogue.KINDS if kind is None else (kind,)
        await self._seen_through(self._change_active(partial(_replacing, kinds=kinds, by=None)))

    async def unload(self, request: InstanceRequest) -> list[LoadedModel]:
        """Unload exactly the named instance, or every one of the model; return which they were.

        What was active and is gone isn't active any more. Raises as StudioClient, and StateNotSaved.
        """
        return await self._seen_through(self._unload(request))

    async def _unload(self, request: InstanceRequest) -> list[LoadedModel]:
        key, instance_id, publish = request.model_key, request.instance_id, self._activity.events.publish
        with self._activity.operation("model_unload", key) as operation:
            loaded = await self._client.loaded()
            meant = [model for model in loaded if _is_meant(model, request)]
            if not meant:
                operation.found_nothing = True
                return []
            publish(ModelUnloadStart(model_key=key, instance_id=instance_id))
            gone: list[LoadedModel] = []
            try:
                for model in meant:
                    with suppress(ModelNotFound):  # it was unloaded meanwhile, which is what was asked for
                        await self._client.unload(model.kind, model.identifier)
                    gone.append(model)
            finally:
                left = [model for model in loaded if model not in gone]
                await self._change_active(partial(_without, gone=gone, left=left))
            total_ms = operation.elapsed_ms
            publish(ModelUnloadComplete(model_key=key, instance_id=instance_id, total_time_ms=total_ms))
        return meant

    async def _kind_of(self, model_key: str) -> ModelType:
        """Ask LM Studio what kind of model it is.

        If it can't say now or doesn't know it: what it is active as, or else text.
        """
        try:
            model = catalogue.find(model_key, await self._client.downloaded(attempts=1))
        except (UpstreamUnavailable, UpstreamSilent):
            model = None
        if model is not None:
            return model.kind
        embedding = self._active.active_embedding_model
        return "embedding" if embedding is not None and embedding.model_key == model_key else "llm"

    async def _make_active(self, kind: ModelType, active: ActiveModel) -> None:
        with self._activity.operation("model_activate", active.model_key):
            await self._change_active(partial(_replacing, kinds=(kind,), by=active))
        self._activity.events.publish(
            ModelActivate(
                model_key=active.model_key,
                instance_id=active.instance_id,
                default_inference=active.default_inference,
            )
        )

    async def _change_active(self, change: Callable[[ActiveModels], ActiveModels]) -> None:
        # Asked for one after the other: each changes what the one before it left.
        async with self._changing:
            changed = change(self._active)
            if changed is not self._active:
                await self._state_file.save(changed)
                self._active = changed

    async def _seen_through(self, work: Coroutine[Any, Any, T]) -> T:
        """Do this to its end, even if whoever asked for it leaves."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await background.join(task)


def _is_meant(model: LoadedModel, named: InstanceRequest | ActiveModel) -> bool:
    if named.instance_id is not None:
        return model.identifier == named.instance_id
    return named.model_key in {model.model_key, model.path, model.identifier}


def _replacing(active: ActiveModels, *, kinds: Iterable[ModelType], by: ActiveModel | None) -> ActiveModels:
    for kind in kinds:
        active = active.replacing(kind, by)
    return active


def _without(
    active: ActiveModels, *, gone: Sequence[LoadedModel], left: Sequence[LoadedModel]
) -> ActiveModels:
    """Return those that nothing of what is gone answered to, or that something that is left does."""
    for kind in catalogue.KINDS:
        one = active.of(kind)
        if one is not None and _answers(gone, one) and not _answers(left, one):
            active = active.replacing(kind, None)
    return active


def _answers(models: Iterable[LoadedModel], active: ActiveModel) -> bool:
    return any(_is_meant(model, active) for model in models)
