"""What somebody asks of the models in memory: it joins what the residency does by itself."""

from __future__ import annotations

import asyncio
from time import monotonic

from ...boxes.box import Box
from ...boxes.load_in_progress import LoadProfiles
from ...boxes.load_order import LoadedInstance
from ...errors import INTERNAL_FAILURE, GatewayError, OutOfMemory
from ...schema.common import ModelType, likely_type
from ...schema.models import LoadRequest
from ..line import Line
from ..slots import InstanceId
from ..tickets import Wanted
from . import calls
from .effects import LoadFailure
from .keeper import Keeper


class Wishes:
    """Loads and unloads on behalf of somebody. Without residency they go straight to LM Studio."""

    def __init__(self, line: Line, keeper: Keeper) -> None:
        self._line = line
        self._keeper = keeper

    @property
    def _is_on(self) -> bool:
        return self._keeper.residency.terms.enabled

    async def load(self, request: LoadRequest, box: Box, profiles: LoadProfiles) -> LoadedInstance:
        """Load a model, or return the instance that it has. Raises as Loads.load.

        If there is no memory, the models go that were loaded for requests and have nothing to do.
        """
        if not self._is_on:
            return await box.loads.load(request, box.sdk, profiles)
        known = box.catalogue.find(request.model_key)
        key = request.model_key if known is None else known.key
        kind = (known and known.type) or likely_type(key)
        residency, target = self._keeper.residency, Wanted(box.name, key, request.instance_id)
        if request.another or residency.claim(target):
            loaded = await box.loads.load(request, box.sdk, profiles)
            if request.another:
                await self._keeper.adopt(loaded)
            return loaded
        load = residency.begin_load(target, kind, "loaded", monotonic())
        outcome: LoadedInstance | LoadFailure = LoadFailure("other", INTERNAL_FAILURE)
        try:
            outcome = await self._load(request, box, profiles)
        except GatewayError as exc:
            outcome = await calls.failure(exc, box)
            raise
        finally:
            await self._keeper.load_ended(load, outcome)
        return outcome

    async def _load(self, request: LoadRequest, box: Box, profiles: LoadProfiles) -> LoadedInstance:
        try:
            return await box.loads.load(request, box.sdk, profiles)
        except OutOfMemory:
            spare = self._keeper.residency.spare()
            if not spare:
                raise
            unloads = (self._keeper.unload(one, patience=0, force=False) for one in spare)
            await asyncio.gather(*unloads, return_exceptions=True)
        return await box.loads.load(request, box.sdk, profiles)

    async def unload(
        self, kind: ModelType, identifier: str, box: Box, *, patience: float, force: bool
    ) -> None:
        """Unload an instance when the requests have ended that run on it, or at once with `force`.

        Raises Conflict if they haven't after `patience` seconds, and as SdkCalls.unload.
        """
        instance = self._line.machines.instances.get(InstanceId(box.name, identifier))
        if not self._is_on or instance is None or not instance.is_listed:
            await box.sdk.unload(kind, identifier)
        else:
            await self._keeper.unload(instance, patience=patience, force=force)
