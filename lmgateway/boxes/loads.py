"""The loads in progress on one box."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct
from yarl import URL

from .. import background
from ..errors import (
    RETRY_SOON,
    BadRequest,
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
from ..schema.common import ModelType
from ..schema.models import DownloadedModel, InstanceRequest, LoadConfig, LoadRequest
from . import inventory
from .sdk import library as sdk
from .sdk.calls import SdkCalls

logger = logging.getLogger(__name__)

# By model key: the settings for a request without a load_config.
LoadProfiles = Mapping[str, LoadConfig]

CANCEL_SECONDS = 10
# A load goes on when its caller leaves, so no other limit bounds their number.
MAX_LOADS = 32


class LoadedInstance(Struct, frozen=True):
    """The result of a load.

    `load_config` is what LM Studio applied, empty if it doesn't say; `ignored` are the requested settings
    that it doesn't have.
    """

    type: ModelType
    identifier: str
    load_config: dict[str, object]
    ignored: tuple[str, ...]


class _Key(Struct, frozen=True):
    """Loads with equal keys are one load. Without a `load_config`, the model's profile decides."""

    base_url: URL
    model_key: str
    instance_id: str | None
    ttl_seconds: int | None
    load_config: LoadConfig | None


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

        All of its calls are made with `calls`, also after a reload to another LM Studio.
        """
        config = request.load_config or profiles.get(request.model_key)
        base_url = calls.origin.base_url
        key = _Key(base_url, request.model_key, request.instance_id, request.ttl_seconds or None, config)
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
        key, events = load.key, self._activity.events
        with self._activity.operation("model_load", key.model_key) as operation:
            config = await self._config(load)
            shown = None if config == LoadConfig() else config
            events.publish(
                ModelLoadStart(model_key=key.model_key, instance_id=key.instance_id, load_config=shown)
            )
            try:
                instance = await self._load(load, config, operation)
            except GatewayError as exc:
                if load.cancelled.is_set():
                    raise LoadCancelled(f"The load of {key.model_key} was cancelled.") from exc
                raise
            events.publish(
                ModelLoadComplete(
                    model_key=key.model_key,
                    instance_id=key.instance_id,
                    activated=load.activates,
                    total_time_ms=operation.elapsed_ms,
                    load_config=instance.load_config,
                )
            )
            return instance

    async def _config(self, load: _Load) -> LoadConfig:
        """Return the settings to load it with. Raises as SdkCalls.downloaded."""
        if load.key.load_config is not None or not load.profiles:
            return load.key.load_config or LoadConfig()
        # No profile has this name, but it may be the path of a model whose key has one.
        model = inventory.find(load.key.model_key, await load.calls.downloaded())
        return (model and load.profiles.get(model.model_key)) or LoadConfig()

    async def _load(self, load: _Load, load_config: LoadConfig, operation: ModelOperation) -> LoadedInstance:
        key = load.key
        # This also finds a dead connection, before the load begins, which isn't idempotent.
        kind = _kind_of(key.model_key, await load.calls.downloaded())
        config, ignored = sdk.split_config(msgspec.to_builtins(load_config), kind)
        if key.instance_id is not None:
            await _check_free(load.calls, key.instance_id)
        if load.cancelled.is_set():
            raise LoadCancelled(f"The load of {key.model_key} was cancelled before it began.")

        def progressed(fraction: float) -> None:
            operation.progress = fraction
            self._activity.events.publish(
                ModelLoadProgress(
                    model_key=key.model_key,
                    instance_id=key.instance_id,
                    progress=round(fraction * 100, 1),
                    progress_raw=fraction,
                )
            )

        try:
            identifier = await load.calls.load(
                kind,
                key.model_key,
                key.instance_id,
                key.ttl_seconds,
                config,
                on_progress=progressed,
                cancelled=load.cancelled,
            )
        except ModelNotFound as exc:
            raise ModelNotFound(f"LM Studio has no model {key.model_key}.") from exc
        return LoadedInstance(kind, identifier, await _applied(load.calls, kind, identifier), ignored)


async def _applied(calls: SdkCalls, kind: ModelType, identifier: str) -> dict[str, object]:
    try:
        return await calls.load_config(kind, identifier)
    except GatewayError as exc:
        # The model is loaded all the same: after an error the caller would load it again.
        logger.warning("the settings that %s was loaded with are unknown: %s", identifier, exc.code)
        return {}


async def _check_free(calls: SdkCalls, instance_id: str) -> None:
    """Raise Conflict if an instance has this name: LM Studio refuses it without an error code."""
    if any(model.identifier == instance_id for model in await calls.loaded()):
        raise Conflict(f"{instance_id} is loaded already; unload it, or choose another instanceId.")


def _matches(key: _Key, request: InstanceRequest) -> bool:
    if request.instance_id is not None:
        return (key.model_key, key.instance_id) == (request.model_key, request.instance_id)
    return request.model_key in {key.model_key, key.instance_id}


def _kind_of(model_key: str, models: Sequence[DownloadedModel]) -> ModelType:
    model = inventory.find(model_key, models)
    if model is None or model.type == "llm":
        # LM Studio itself may know a name that it doesn't list.
        return "llm"
    if model.type == "embedding":
        return "embedding"
    raise BadRequest(f"{model_key} is of type {model.type}; only llm and embedding models can be loaded.")
