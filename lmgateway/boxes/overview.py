"""What operators see of one LM Studio: whether it answers, its version, what is loaded, and known faults."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from msgspec import structs

from ..errors import GatewayError
from ..schema.models import LoadedModel
from ..schema.system import ModelMemory, StudioReport
from ..settings.destinations import is_this_machine
from . import known_faults
from .box import Box

# For the SDK's calls, with connecting.
SDK_SECONDS = 2


async def overview(box: Box) -> StudioReport:
    """Ask LM Studio for what it is. It takes a few seconds at most, and never fails."""
    reached = await box.probe()
    version, loaded = await _over_sdk(box) if reached.reachable else (None, None)
    faults = (*known_faults.of_version(version), *known_faults.of_instances(loaded or ()))
    models = None if loaded is None else tuple(map(_memory, loaded))
    return StudioReport(
        **structs.asdict(reached),
        box=box.name,
        version=version,
        is_local=is_this_machine(box.config.base_url.raw_host or ""),
        models=models,
        faults=faults,
    )


async def _over_sdk(box: Box) -> tuple[str | None, Sequence[LoadedModel] | None]:
    if not box.is_unmanageable:
        with suppress(TimeoutError, GatewayError):
            async with asyncio.timeout(SDK_SECONDS):
                return await box.sdk.version(), await box.sdk.loaded(attempts=1)
    return None, None


def _memory(model: LoadedModel) -> ModelMemory:
    return ModelMemory(identifier=model.identifier, model_key=model.model_key, size=model.size)
