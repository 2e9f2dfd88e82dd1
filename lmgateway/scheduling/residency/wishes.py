"""What somebody asks of the models in memory: it joins what the residency does by itself."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic

from ...boxes.box import Box
from ...boxes.load_in_progress import LoadProfiles
from ...boxes.load_order import LoadedInstance
from ...errors import INTERNAL_FAILURE, GatewayError, ModelNotFound, OutOfMemory, UpstreamUnavailable
from ...models.memory import Drain
from ...observe.activity import Activity
from ...schema.common import ModelType, likely_type
from ...schema.models import LoadRequest
from ..line import Line
from ..slots import Instance, InstanceId
from ..tickets import Wanted
from . import calls, hopeless
from .effects import LoadFailure
from .keeper import Keeper


class Wishes:
    """Loads and unloads on behalf of somebody: the ModelMemory. Without residency, loads go to LM Studio."""

    def __init__(self, line: Line, keeper: Keeper, activity: Activity) -> None:
        self._line = line
        self._keeper = keeper
        self._activity = activity

    def _decides(self, box: Box) -> bool:
        """True if the residency decides what is in this box's memory."""
        return self._keeper.residency.terms.enabled and self._keeper.is_at(box)

    async def load(self, request: LoadRequest, box: Box, profiles: LoadProfiles) -> LoadedInstance:
        """Load a model, or return the instance that it has. Raises as Loads.load.

        If there is no memory, the models go that were loaded for requests and have nothing to do.
        """
        if not self._decides(box):
            return await box.loads.load(request, box.sdk, profiles)
        if request.another:
            loaded = await self._load(request, box, profiles)
            if self._keeper.is_at(box):
                await self._keeper.adopt(loaded)
            return loaded
        while True:
            loaded = await self._load_or_join(request, box, profiles)
            # What LM Studio still lists may be on its way out.
            if not self._keeper.is_at(box) or await self._keeper.keep(loaded):
                return loaded

    async def _load_or_join(self, request: LoadRequest, box: Box, profiles: LoadProfiles) -> LoadedInstance:
        known = box.catalogue.find(request.model_key)
        key = request.model_key if known is None else known.key
        kind = (known and known.type) or likely_type(key)
        residency, target = self._keeper.residency, Wanted(box.name, key, request.instance_id)
        if any(loading.load.target == target for loading in residency.loads):
            if request.load_config is None:
                residency.claim(target)
            loaded = await self._load(request, box, profiles)
            # With settings it may have been refused. For whom it was begun, it may not have ended yet.
            residency.claim(target)
            return loaded
        load = self._keeper.begin_load(target, kind)
        outcome: LoadedInstance | LoadFailure = LoadFailure("other", INTERNAL_FAILURE)
        try:
            outcome = await self._load(request, box, profiles)
        except GatewayError as exc:
            outcome = await calls.failure(exc, box)
            if request.load_config is not None and outcome.reason in {"no_memory", "other"}:
                # With its usual settings the model may do.
                outcome = outcome._replace(reason="refused")
            raise
        finally:
            await self._keeper.load_ended(load, outcome)
        return outcome

    async def _load(self, request: LoadRequest, box: Box, profiles: LoadProfiles) -> LoadedInstance:
        residency, has_freed = self._keeper.residency, False
        while True:
            try:
                return await box.loads.load(request, box.sdk, profiles)
            except OutOfMemory:
                await _look_again(box)
                spare = residency.spare(await calls.passing(box))
                if spare and not has_freed:
                    has_freed = True
                    unloads = (self._keeper.unloads.ask(one, Drain(0)) for one in spare)
                    await asyncio.gather(*unloads, return_exceptions=True)
                elif residency.shortage.is_memory_late(monotonic()):
                    await asyncio.sleep(hopeless.RETRY_SECONDS)
                else:
                    raise

    async def unload(self, kind: ModelType, identifier: str, box: Box, drain: Drain) -> None:
        """Unload an instance when its requests have ended, or at once. Raises as ModelMemory.unload."""
        instance = self._find(identifier, box)
        if instance is None and self._keeper.is_at(box):
            await _look_again(box)
            instance = self._find(identifier, box)
        if instance is not None:
            await self._keeper.unloads.ask(instance, drain)
            return
        known = box.catalogue.find(identifier)
        model = identifier if known is None else known.key
        with calls.unloading(model, identifier, box, self._activity), suppress(ModelNotFound):
            await box.sdk.unload(kind, identifier)

    def _find(self, identifier: str, box: Box) -> Instance | None:
        if not self._keeper.is_at(box):
            return None  # of another LM Studio than the one that the operation began with
        instance = self._line.machines.instances.get(InstanceId(box.name, identifier))
        return instance if instance is not None and instance.is_listed else None


async def _look_again(box: Box) -> None:
    """Have the line take in what somebody may have loaded a moment ago."""
    with suppress(UpstreamUnavailable):  # it is logged where LM Studio is called
        await box.list_models()
        await asyncio.sleep(0)
