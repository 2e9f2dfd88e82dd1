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


async def renew(box: Box) -> None:
    """Have a box's version, its list of models and how fast it answers renewed, unless it is left alone.

    It takes a few seconds at most, and never fails: then they stay as they were known last.
    """
    if not box.is_left_alone:
        await asyncio.gather(_renew(box), *([] if box.is_watched else [box.probe()]))


async def _renew(box: Box) -> None:
    with suppress(TimeoutError, GatewayError):
        async with asyncio.timeout(SDK_SECONDS):
            await box.fresh_models()  # after which it is known whether it has an SDK
            if not box.is_unmanageable:
                box.known.version = await box.sdk.version()


def answers(box: Box) -> bool | None:
    """Return whether a box is up or, if it isn't greeted, has answered its last request; None before that."""
    attendance = box.known.attendance
    if attendance is None or attendance.state == "unknown":
        return box.health.answered
    return attendance.is_up


def latency_ms(box: Box) -> int | None:
    """Return how long a box's last greeting took, None if it doesn't answer, or hasn't been greeted.

    Of a box that isn't greeted regularly it is the last probe.
    """
    attendance = box.known.attendance
    return box.known.probe_ms if attendance is None else attendance.latency_ms


async def _over_sdk(box: Box) -> tuple[str | None, Sequence[LoadedModel] | None]:
    """Return LM Studio's version and what is in memory; of a box that is left alone, what was known last."""
    if box.is_left_alone:
        return box.known.version, box.catalogue.loaded
    if not box.is_unmanageable:
        with suppress(TimeoutError, GatewayError):
            async with asyncio.timeout(SDK_SECONDS):
                box.known.version = await box.sdk.version()
                return box.known.version, await box.sdk.loaded(attempts=1)
    return None, None


def _memory(model: LoadedModel) -> ModelMemory:
    return ModelMemory(identifier=model.identifier, model_key=model.model_key, size=model.size)
