"""The models: what there is, what is loaded, and which are active."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar

from msgspec import structs

from .. import background
from ..boxes import inventory as catalogue
from ..boxes.loads import LoadedInstance, LoadProfiles, Loads
from ..boxes.sdk.calls import StudioClient
from ..errors import ModelNotFound, StateNotSaved, StudioFailed, UpstreamSilent, UpstreamUnavailable
from ..observe.activity import Activity
from ..observe.events import ModelActivate, ModelUnloadComplete, ModelUnloadStart
from ..schema.common import ModelType
from ..schema.models import (
    ActivateRequest,
    ActiveModel,
    ActiveModels,
    DefaultInference,
    InstanceRequest,
    LoadedModel,
    LoadRequest,
    ModelList,
)
from ..storage.state_file import StateFile

T = TypeVar("T")


class Found(NamedTuple):
    """What LM Studio says of a name: where such a model is, of which kind, or what it has that is like it."""

    where: Literal["loaded", "on disk", "nowhere", "not asked"]
    kind: ModelType | None = None
    near: tuple[str, ...] = ()


class Activation(NamedTuple):
    active: ActiveModel
    found: Found


class Unloaded(NamedTuple):
    """Which instances went, and of which kinds no model is active any more."""

    identifiers: tuple[str, ...] = ()
    inactive: tuple[ModelType, ...] = ()


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
        active = [name for kind in catalogue.KINDS for name in _answering(loaded, self._active, kind)]
        marked = (structs.replace(model, active=model.identifier in active) for model in loaded)
        return ModelList(loaded=tuple(marked), downloaded=downloaded)

    async def load(self, request: LoadRequest, profiles: LoadProfiles) -> LoadedInstance:
        """Load a model and, unless told otherwise, make it active.

        Both go on if the caller leaves. Raises as Loads.load, and StateNotSaved.
        """
        return await self._seen_through(self._load_and_activate(request, profiles))

    async def _load_and_activate(self, request: LoadRequest, profiles: LoadProfiles) -> LoadedInstance:
        instance = await self._loads.load(request, profiles)
        if request.activates:
            # An instance that LM Studio had to give a name of its own is only reached by that name.
            own_name = instance.identifier if instance.identifier != request.model_key else None
            active = ActiveModel(
                model_key=request.model_key,
                instance_id=request.instance_id or own_name,
                default_inference=request.default_inference or DefaultInference(),
            )
            try:
                await self._make_active(instance.type, active)
            except StateNotSaved as exc:
                raise StateNotSaved(f"{instance.identifier} is loaded. {exc.message}") from exc
        return instance

    async def cancel_load(self, request: InstanceRequest) -> list[str]:
        """Take back the loads of that name, and return what they would have been. Raises as Loads.cancel."""
        return await self._loads.cancel(request)

    async def activate(self, request: ActivateRequest) -> Activation:
        """Make this the active model of its type. Nothing is loaded. Raises StateNotSaved."""
        active = ActiveModel(
            model_key=request.model_key,
            instance_id=request.instance_id,
            default_inference=request.default_inference or DefaultInference(),
        )
        # Whoever says of which type it is needs no LM Studio.
        found = Found("not asked") if request.type else await self._look_up(active)
        kind = request.type or found.kind or self._likely_kind(request.model_key)
        await self._seen_through(self._make_active(kind, active))
        return Activation(active, found)

    async def _look_up(self, active: ActiveModel) -> Found:
        """Ask LM Studio about it, if it can be asked now."""
        try:
            disk = await self._client.downloaded(attempts=1)
            loaded = await self._client.loaded(attempts=1)
        except (UpstreamUnavailable, UpstreamSilent, StudioFailed):
            return Found("not asked")
        for model in loaded:
            if _is_meant(model, active):
                return Found("loaded", model.kind)
        on_disk = catalogue.find(active.model_key, disk)
        if on_disk is not None:
            return Found("on disk", on_disk.kind)
        return Found("nowhere", near=tuple(catalogue.near_names(active.model_key, disk)))

    def _likely_kind(self, model_key: str) -> ModelType:
        """Return what it is active as, or else what its name says, which LM Studio begins so."""
        embedding = self._active.active_embedding_model
        is_active = embedding is not None and embedding.model_key == model_key
        return "embedding" if is_active or model_key.startswith("text-embedding-") else "llm"

    async def deactivate(self, kind: ModelType | None) -> None:
        """Forget the active model of this type, or both. Raises StateNotSaved."""
        kinds = catalogue.KINDS if kind is None else (kind,)
        await self._seen_through(self._change_active(partial(_replacing, kinds=kinds, by=None)))

    async def unload(self, request: InstanceRequest) -> Unloaded:
        """Unload exactly the named instance, or every one of the model.

        What was active and is gone isn't active any more. Raises as StudioClient, and StateNotSaved.
        """
        return await self._seen_through(self._unload(request))

    async def _unload(self, request: InstanceRequest) -> Unloaded:
        key, instance_id, publish = request.model_key, request.instance_id, self._activity.events.publish
        with self._activity.operation("model_unload", key) as operation:
            loaded = await self._client.loaded()
            meant = [model for model in loaded if _is_meant(model, request)]
            if not meant:
                operation.found_nothing = True
                return Unloaded()
            publish(ModelUnloadStart(model_key=key, instance_id=instance_id))
            gone: list[LoadedModel] = []
            before = self._active
            try:
                for model in meant:
                    with suppress(ModelNotFound):  # it was unloaded meanwhile, which is what was asked for
                        await self._client.unload(model.kind, model.identifier)
                    gone.append(model)
            finally:
                left = [model for model in loaded if model not in gone]
                await self._forget(gone, left)
            total_ms = operation.elapsed_ms
            publish(ModelUnloadComplete(model_key=key, instance_id=instance_id, total_time_ms=total_ms))
        inactive = [kind for kind in catalogue.KINDS if before.of(kind) and not self._active.of(kind)]
        return Unloaded(tuple(model.identifier for model in meant), tuple(inactive))

    async def _forget(self, gone: Sequence[LoadedModel], left: Sequence[LoadedModel]) -> None:
        try:
            await self._change_active(partial(_without, gone=gone, left=left))
        except StateNotSaved as exc:
            names = ", ".join(model.identifier for model in gone)
            raise StateNotSaved(f"{names} is unloaded. {exc.message}") from exc

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
        if _answering(gone, active, kind) and not _answering(left, active, kind):
            active = active.replacing(kind, None)
    return active


def _answering(models: Iterable[LoadedModel], active: ActiveModels, kind: ModelType) -> list[str]:
    """Return the identifiers of those that the active model of this kind stands for.

    LM Studio asks the instance of exactly the name that it is given, and else any of that model.
    """
    one = active.of(kind)
    if one is None:
        return []
    meant = [model.identifier for model in models if model.kind == kind and _is_meant(model, one)]
    return [one.name] if one.name in meant else meant
