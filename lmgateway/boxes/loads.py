"""The loads in progress on one box."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

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
from ..observe.operations import ModelOperation
from ..schema.models import DownloadedModel, InstanceRequest, LoadConfig, LoadRequest
from . import inventory
from .load_events import LoadEvents
from .load_in_progress import LastSettings, LoadInProgress, LoadKey, LoadProfiles
from .load_order import LoadedInstance, LoadOrder
from .sdk.calls import SdkCalls
from .signs_of_life import SignsOfLife

CANCEL_SECONDS = 10
# A load goes on when its caller leaves, so no other limit bounds their number.
MAX_LOADS = 32


class Loads:
    """The owner of the loads in progress.

    Each is a task of its own, because LM Studio goes on loading after its caller has left. An equal request
    joins the load in progress (single-flight): LM Studio would load the model twice.
    """

    def __init__(
        self,
        box: str,
        activity: Activity,
        last_settings: LastSettings | None = None,
        signs: SignsOfLife | None = None,
    ) -> None:
        """A load's progress is one of the `signs`."""
        self._box = box
        self._activity = activity
        self._last_settings = last_settings
        self._signs = signs or SignsOfLife()
        self._running: dict[LoadKey, LoadInProgress] = {}

    async def load(
        self, request: LoadRequest, calls: SdkCalls, profiles: LoadProfiles, *, on_demand: bool = False
    ) -> LoadedInstance:
        """Load a model. Raises Conflict, Overloaded, LoadCancelled, and as SdkCalls.load.

        If the model has an instance, and the request gives no identifier and doesn't ask for another one,
        that instance is the result; Conflict if the request has other settings.

        `on_demand` is a load for requests. Without settings in the request and in the profiles it uses those
        that the model was last loaded with; an instance that has the requested identifier is its result too.

        All of its calls are made with `calls`, also after a reload to another LM Studio.
        """
        key = LoadKey(
            base_url=calls.origin.base_url,
            model_key=request.model_key,
            instance_id=request.instance_id,
            ttl_seconds=request.ttl_seconds or None,
            load_config=request.load_config or self._settings(request.model_key, profiles, on_demand),
            is_explicit=request.load_config is not None,
            another=request.another is True,
        )
        load = self._joined(key) or self._start(LoadInProgress(key, calls, profiles, on_demand=on_demand))
        load.activates |= request.activates
        return await background.join(load.task)

    async def cancel(self, request: InstanceRequest) -> list[str]:
        """Cancel the matching loads; return the identifiers that they would have had.

        Raises ModelNotFound if none matches, UpstreamSilent, Conflict if all of them were completed first.
        """
        loads = [load for load in self._running.values() if load.key.matches(request)]
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

    def __len__(self) -> int:
        """Return how many are in progress."""
        return len(self._running)

    async def close(self) -> None:
        """Stop waiting for the loads; LM Studio goes on with them."""
        tasks = [load.task for load in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _settings(self, model: str, profiles: LoadProfiles, on_demand: bool) -> LoadConfig | None:
        """Return the settings for a load without its own, None if there are none for this name."""
        profile = profiles.get(model)
        if profile is None and on_demand and self._last_settings is not None:
            return self._last_settings.settings(model)
        return profile

    def _joined(self, key: LoadKey) -> LoadInProgress | None:
        """Return the load in progress that this one is a part of."""
        answering = (load for other, load in self._running.items() if key.is_answered_by(other))
        return self._running.get(key) or next(answering, None)

    def _start(self, load: LoadInProgress) -> LoadInProgress:
        key = load.key
        if len(self._running) >= MAX_LOADS:
            raise Overloaded(f"{MAX_LOADS} loads are in progress already. Retry later.", headers=RETRY_SOON)
        # One on demand waits for it.
        if not load.on_demand and any(map(key.has_name_of, self._running)):
            raise Conflict(
                f"{key.instance_id} is being loaded with other settings; wait for it, or cancel it."
            )
        self._running[key] = load
        load.task = asyncio.create_task(self._run(load))
        load.task.add_done_callback(lambda _: self._running.pop(key))
        return load

    async def _run(self, load: LoadInProgress) -> LoadedInstance:
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

    def _config(self, load: LoadInProgress, models: Sequence[DownloadedModel]) -> LoadConfig | None:
        """Return the settings to load it with, None for LM Studio's own."""
        if load.key.load_config is not None:
            return load.key.load_config
        # None are known for this name, but it may be the path of a model whose key has some.
        model = inventory.find(load.key.model_key, models)
        return None if model is None else self._settings(model.model_key, load.profiles, load.on_demand)

    async def _in_memory(self, load: LoadInProgress, order: LoadOrder) -> LoadedInstance | None:
        """Return the model's instance, if the load doesn't ask for one of its own. Raises Conflict."""
        key = load.key
        if key.another or (key.instance_id is not None and not load.on_demand):
            return None
        await self._earlier_loads(load, order)
        return await order.instance_in_memory(load.calls, key.instance_id, is_explicit=key.is_explicit)

    async def _earlier_loads(self, load: LoadInProgress, order: LoadOrder) -> None:
        """Wait for the model's loads that began before this one, or until this one is cancelled.

        And for those of the requested identifier.
        """
        earlier = takewhile(lambda other: other is not load, self._running.values())
        tasks: set[asyncio.Task[Any]] = {
            other.task
            for other in earlier
            if other.key.base_url == load.key.base_url
            and (other.key.model_key in order.names or load.key.has_name_of(other.key))
        }
        cancelled = asyncio.create_task(load.cancelled.wait())
        try:
            while tasks and not cancelled.done():
                ended, _ = await asyncio.wait({*tasks, cancelled}, return_when=asyncio.FIRST_COMPLETED)
                tasks -= ended
        finally:
            await background.end(cancelled)

    async def _load(
        self, load: LoadInProgress, order: LoadOrder, operation: ModelOperation
    ) -> LoadedInstance:
        key, events = load.key, LoadEvents(self._activity.events, self._box, load.key)
        events.started(order.config if order.config != LoadConfig() else None)
        if key.instance_id is not None:
            await _check_free(load.calls, key.instance_id)
        if load.cancelled.is_set():
            raise LoadCancelled(f"The load of {key.model_key} was cancelled before it began.")

        def progressed(fraction: float) -> None:
            operation.progress, self._signs.heard = fraction, True
            events.progressed(fraction)

        began = time.monotonic()
        try:
            new = await load.calls.load(
                order.type,
                key.model_key,
                key.instance_id,
                key.ttl_seconds,
                order.settings,
                on_progress=progressed,
                cancelled=load.cancelled,
            )
        except ModelNotFound as exc:
            raise ModelNotFound(f"LM Studio has no model {key.model_key}.") from exc
        load_seconds = time.monotonic() - began
        if order.config is not None and self._last_settings is not None:
            self._last_settings.remember_settings(order.model_key, order.config)
        instance = await order.instance(load.calls, new, load_seconds=load_seconds)
        events.completed(activated=load.activates, total_ms=operation.elapsed_ms, config=instance.load_config)
        return instance


async def _check_free(calls: SdkCalls, instance_id: str) -> None:
    """Raise Conflict if an instance has this name: LM Studio refuses it without an error code."""
    if any(model.identifier == instance_id for model in await calls.loaded()):
        raise Conflict(f"{instance_id} is loaded already; unload it, or choose another instanceId.")
