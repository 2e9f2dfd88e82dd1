"""The loads in progress on one box."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

from msgspec import Struct
from yarl import URL

from .. import background
from ..errors import (
    RETRY_SOON,
    Conflict,
    GatewayError,
    LoadCancelled,
    ModelNotFound,
    Overloaded,
    UpstreamSilent,
)
from ..observe.activity import Activity
from ..observe.events import ModelLoadComplete, ModelLoadProgress, ModelLoadStart
from ..observe.operations import ModelOperation
from ..schema.models import DownloadedModel, InstanceRequest, LoadConfig, LoadRequest
from . import inventory
from .load_order import LoadedInstance, LoadOrder
from .sdk.calls import SdkCalls

# By model key: the settings for a request without a load_config.
LoadProfiles = Mapping[str, LoadConfig]

CANCEL_SECONDS = 10
# A load goes on when its caller leaves, so no other limit bounds their number.
MAX_LOADS = 32


class _Key(Struct, frozen=True):
    """Loads with equal keys are one load. Without a `load_config`, the model's profile decides.

    `is_explicit` is true if the `load_config` is the request's, and not the profile's.
    """

    base_url: URL
    model_key: str
    instance_id: str | None
    ttl_seconds: int | None
    load_config: LoadConfig | None
    is_explicit: bool
    another: bool


class _Load:
    """One load, which any number of callers may wait for."""

    def __init__(self, key: _Key, calls: SdkCalls, profiles: LoadProfiles) -> None:
        self.key = key
        self.calls = calls
        self.profiles = profiles
        self.activates = False
        self.cancelled = asyncio.Event()
        self.task: asyncio.Task[LoadedInstance]


class Loads:
    """The owner of the loads in progress.

    Each is a task of its own, because LM Studio goes on loading after its caller has left. An equal request
    joins the load in progress (single-flight): LM Studio would load the model twice.
    """

    def __init__(self, activity: Activity) -> None:
        self._activity = activity
        self._running: dict[_Key, _Load] = {}

    async def load(self, request: LoadRequest, calls: SdkCalls, profiles: LoadProfiles) -> LoadedInstance:
        """Load a model. Raises Conflict, Overloaded, LoadCancelled, and as SdkCalls.load.

        If the model has an instance, and the request gives no identifier and doesn't ask for another one,
        that instance is the result; Conflict if the request has other settings.

        All of its calls are made with `calls`, also after a reload to another LM Studio.
        """
        key = _Key(
            base_url=calls.origin.base_url,
            model_key=request.model_key,
            instance_id=request.instance_id,
            ttl_seconds=request.ttl_seconds or None,
            load_config=request.load_config or profiles.get(request.model_key),
            is_explicit=request.load_config is not None,
            another=request.another is True,
        )
        load = self._running.get(key) or self._start(key, calls, profiles)
        load.activates |= request.activates
        return await background.join(load.task)

    async def cancel(self, request: InstanceRequest) -> list[str]:
        """Cancel the matching loads; return the identifiers that they would have had.

        Raises ModelNotFound if none matches, UpstreamSilent, Conflict if all of them were completed first.
        """
        loads = [load for load in self._running.values() if _matches(load.key, request)]
        if not loads:
            raise ModelNotFound(f"Nothing named {request.instance_id or request.model_key} is being loaded.")
        for load in loads:
            load.cancelled.set()
        _, unfinished = await asyncio.wait([load.task for load in loads], timeout=CANCEL_SECONDS)
        if unfinished:
            raise UpstreamSilent("LM Studio was asked to cancel the load, and hasn't answered yet.")
        cancelled = [load.key for load in loads if load.task.exception() is not None]
        if not cancelled:
            raise Conflict("It was loaded before it could be cancelled.")
        return [key.instance_id or key.model_key for key in cancelled]

    async def close(self) -> None:
        """Stop waiting for the loads; LM Studio goes on with them."""
        tasks = [load.task for load in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, key: _Key, calls: SdkCalls, profiles: LoadProfiles) -> _Load:
        if len(self._running) >= MAX_LOADS:
            raise Overloaded(f"{MAX_LOADS} loads are in progress already. Retry later.", headers=RETRY_SOON)
        others = (other for other in self._running if other.base_url == key.base_url)
        if key.instance_id and any(key.instance_id == other.instance_id for other in others):
            raise Conflict(
                f"{key.instance_id} is being loaded with other settings; wait for it, or cancel it."
            )
        load = self._running[key] = _Load(key, calls, profiles)
        load.task = asyncio.create_task(self._run(load))
        load.task.add_done_callback(lambda _: self._running.pop(key))
        return load

    async def _run(self, load: _Load) -> LoadedInstance:
        with self._activity.operation("model_load", load.key.model_key) as operation:
            try:
                # This also finds a dead connection, before the load begins, which isn't idempotent.
                models = await load.calls.downloaded()
                order = LoadOrder.of(load.key.model_key, models, self._config(load, models))
                instance = await self._in_memory(load, order)
                if instance is not None:
                    operation.changed_nothing = True
                    return instance
                return await self._load(load, order, operation)
            except GatewayError as exc:
                if load.cancelled.is_set():
                    raise LoadCancelled(f"The load of {load.key.model_key} was cancelled.") from exc
                raise

    def _config(self, load: _Load, models: Sequence[DownloadedModel]) -> LoadConfig:
        """Return the settings to load it with."""
        if load.key.load_config is not None:
            return load.key.load_config
        # No profile has this name, but it may be the path of a model whose key has one.
        model = inventory.find(load.key.model_key, models)
        return (model and load.profiles.get(model.model_key)) or LoadConfig()

    async def _in_memory(self, load: _Load, order: LoadOrder) -> LoadedInstance | None:
        """Return the model's instance, if the load doesn't ask for one of its own. Raises Conflict."""
        key = load.key
        if key.another or key.instance_id is not None:
            return None
        await self._earlier_loads(load, order)
        return await order.instance_in_memory(load.calls, is_explicit=key.is_explicit)

    async def _earlier_loads(self, load: _Load, order: LoadOrder) -> None:
        """Wait for the model's loads that began before this one, or until this one is cancelled."""
        earlier = takewhile(lambda other: other is not load, self._running.values())
        same = (other for other in earlier if other.key.base_url == load.key.base_url)
        tasks: set[asyncio.Task[Any]] = {other.task for other in same if other.key.model_key in order.names}
        cancelled = asyncio.create_task(load.cancelled.wait())
        try:
            while tasks and not cancelled.done():
                ended, _ = await asyncio.wait({*tasks, cancelled}, return_when=asyncio.FIRST_COMPLETED)
                tasks -= ended
        finally:
            await background.end(cancelled)

    async def _load(self, load: _Load, order: LoadOrder, operation: ModelOperation) -> LoadedInstance:
        key, events = load.key, self._activity.events
        model_key, instance_id = key.model_key, key.instance_id
        shown = None if order.config == LoadConfig() else order.config
        events.publish(ModelLoadStart(model_key=model_key, instance_id=instance_id, load_config=shown))
        if instance_id is not None:
            await _check_free(load.calls, instance_id)
        if load.cancelled.is_set():
            raise LoadCancelled(f"The load of {model_key} was cancelled before it began.")

        def progressed(fraction: float) -> None:
            operation.progress = fraction
            events.publish(
                ModelLoadProgress(
                    model_key=model_key,
                    instance_id=instance_id,
                    progress=round(fraction * 100, 1),
                    progress_raw=fraction,
                )
            )

        try:
            identifier = await load.calls.load(
                order.type,
                model_key,
                instance_id,
                key.ttl_seconds,
                order.settings,
                on_progress=progressed,
                cancelled=load.cancelled,
            )
        except ModelNotFound as exc:
            raise ModelNotFound(f"LM Studio has no model {model_key}.") from exc
        instance = await order.instance(load.calls, identifier)
        events.publish(
            ModelLoadComplete(
                model_key=model_key,
                instance_id=instance_id,
                activated=load.activates,
                total_time_ms=operation.elapsed_ms,
                load_config=instance.load_config,
            )
        )
        return instance


async def _check_free(calls: SdkCalls, instance_id: str) -> None:
    """Raise Conflict if an instance has this name: LM Studio refuses it without an error code."""
    if any(model.identifier == instance_id for model in await calls.loaded()):
        raise Conflict(f"{instance_id} is loaded already; unload it, or choose another instanceId.")


def _matches(key: _Key, request: InstanceRequest) -> bool:
    if request.instance_id is not None:
        return (key.model_key, key.instance_id) == (request.model_key, request.instance_id)
    return request.model_key in {key.model_key, key.instance_id}
