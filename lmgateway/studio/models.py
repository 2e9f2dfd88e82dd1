"""The models: what there is, what is loaded, and which are active."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

import msgspec

from ..errors import UpstreamSilent, UpstreamUnavailable
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
        self.loads = Loads(client, activity)
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
        await self.loads.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def active(self) -> ActiveModels:
        return self._active

    async def listing(self) -> ModelList:
        """Return what LM Studio has on disk and in memory. Raises as StudioClient.read."""
        downloaded, loaded = await asyncio.gather(
            self._client.read("system", "listDownloadedModels"), self._loaded()
        )
        return ModelList(
            loaded=loaded, downloaded=tuple(map(catalogue.downloaded, catalogue.objects(downloaded)))
        )

    async def _loaded(self) -> tuple[LoadedModel, ...]:
        lists = await asyncio.gather(*(self._client.read(kind, "listLoaded") for kind in catalogue.KINDS))
        entries = (entry for answer in lists for entry in catalogue.objects(answer))
        return tuple(self._marked(catalogue.loaded(entry)) for entry in entries)

    def _marked(self, model: LoadedModel) -> LoadedModel:
        kind: ModelType = "embedding" if model.type == "embedding" else "llm"
        active = self._active.of(kind)
        is_active = active is not None and active.name in {model.identifier, model.model_key}
        return msgspec.structs.replace(model, active=is_active)

    async def load(self, request: LoadRequest) -> LoadedInstance:
        """Load a model and, unless told otherwise, make it active.

        Both go on if the caller leaves. Raises as Loads.load, and StateNotSaved.
        """
        return await self._seen_through(self._load_and_activate(request))

    async def _load_and_activate(self, request: LoadRequest) -> LoadedInstance:
        instance = await self.loads.load(request)
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
        await self._seen_through(self._set_active(dict.fromkeys(kinds)))

    async def unload(self, request: InstanceRequest) -> list[LoadedModel]:
        """Unload exactly the named instance, or every one of the model; return which they were.

        What was active and is gone isn't active any more. Raises as StudioClient.call.
        """
        return await self._seen_through(self._unload(request))

    async def _unload(self, request: InstanceRequest) -> list[LoadedModel]:
        loaded = await self._loaded()
        meant = [model for model in loaded if _is_meant(model, request)]
        if not meant:
            return []
        with self._activity.operation("model_unload", request.model_key) as operation:
            key, instance_id, publish = request.model_key, request.instance_id, self._activity.events.publish
            publish(ModelUnloadStart(model_key=key, instance_id=instance_id))
            for model in meant:
                namespace: ModelType = "embedding" if model.type == "embedding" else "llm"
                await self._client.call(namespace, "unloadModel", {"identifier": model.identifier})
            await self._forget(meant, [model for model in loaded if model not in meant])
            total_ms = operation.elapsed_ms
            publish(ModelUnloadComplete(model_key=key, instance_id=instance_id, total_time_ms=total_ms))
        return meant

    async def _forget(self, gone: Iterable[LoadedModel], left: Iterable[LoadedModel]) -> None:
        changes: dict[ModelType, ActiveModel | None] = {}
        for kind in catalogue.KINDS:
            active = self._active.of(kind)
            if active is None or any(_answers_to(model, active.name) for model in left):
                continue
            if any(_answers_to(model, active.name) for model in gone):
                changes[kind] = None
        if changes:
            await self._set_active(changes)

    async def _kind_of(self, model_key: str) -> ModelType:
        """Ask LM Studio what kind of model it is; text, if it can't say now or doesn't know it."""
        try:
            entries = await self._client.read("system", "listDownloadedModels", attempts=1)
        except (UpstreamUnavailable, UpstreamSilent):
            return "llm"
        model = catalogue.find(model_key, map(catalogue.downloaded, catalogue.objects(entries)))
        return "embedding" if model is not None and model.type == "embedding" else "llm"

    async def _make_active(self, kind: ModelType, active: ActiveModel) -> None:
        with self._activity.operation("model_activate", active.model_key):
            await self._set_active({kind: active})
        self._activity.events.publish(
            ModelActivate(
                model_key=active.model_key,
                instance_id=active.instance_id,
                default_inference=active.default_inference,
            )
        )

    async def _set_active(self, changes: dict[ModelType, ActiveModel | None]) -> None:
        async with self._changing:
            changed = self._active
            for kind, active in changes.items():
                changed = changed.replacing(kind, active)
            await self._state_file.save(changed)
            self._active = changed

    async def _seen_through(self, work: Coroutine[Any, Any, T]) -> T:
        """Do this to its end, even if whoever asked for it leaves."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # A failure was told as an event; there may be nobody left to raise it to.
            task.exception()


def _is_meant(model: LoadedModel, request: InstanceRequest) -> bool:
    if request.instance_id is not None:
        return model.identifier == request.instance_id
    return request.model_key in {model.model_key, model.path, model.identifier}


def _answers_to(model: LoadedModel, name: str) -> bool:
    return name in {model.identifier, model.model_key, model.path}
