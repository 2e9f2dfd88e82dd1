"""LM Studio's loads and unloads for the residency: each ends with an outcome, whatever happens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager, suppress

from ...boxes.box import Box
from ...boxes.load_in_progress import LoadProfiles
from ...boxes.load_order import LoadedInstance
from ...errors import (
    BadRequest,
    Conflict,
    GatewayError,
    LoadCancelled,
    ModelNotFound,
    OutOfMemory,
    Overloaded,
    StudioFailed,
    UpstreamUnavailable,
)
from ...observe.activity import Activity
from ...observe.events import ModelUnloadComplete, ModelUnloadStart
from ...schema.models import LoadRequest
from ..slots import Instance
from ..tickets import Wanted
from .effects import LoadFailure, Unloaded

Count = Callable[[Instance], Awaitable[int]]
"""Returns how many requests LM Studio says that an instance has. Raises UpstreamUnavailable."""

logger = logging.getLogger(__name__)

# How long an instance that was unloaded may stay in LM Studio's list, and how often the list is read.
GONE_SECONDS = 10.0
LIST_SECONDS = 0.25


async def load(target: Wanted, box: Box, profiles: LoadProfiles) -> LoadedInstance | LoadFailure:
    """Have a model loaded for requests; return its instance, or why there is none."""
    asked = LoadRequest(model_key=target.model, instance_id=target.instance, activate=False)
    try:
        return await box.loads.load(asked, box.sdk, profiles, on_demand=True)
    except GatewayError as exc:
        failed = await failure(exc, box)
        # Nobody asked for it otherwise, so it would be refused again.
        return failed._replace(reason="other") if failed.reason == "refused" else failed


async def failure(error: GatewayError, box: Box) -> LoadFailure:
    """Return what a failed load means for those that wait for it."""
    match error:
        case OutOfMemory():
            return LoadFailure("no_memory", error.message, await passing(box))
        case ModelNotFound():
            return LoadFailure("missing", error.message)
        case LoadCancelled():
            return LoadFailure("cancelled", error.message)
        case UpstreamUnavailable():
            return LoadFailure("no_link", error.message)
        case Conflict() | BadRequest() | Overloaded():
            return LoadFailure("refused", error.message)
    return LoadFailure("other", error.message)


async def passing(box: Box) -> frozenset[str]:
    """Return the instances that LM Studio would unload by itself when they are idle."""
    try:
        return frozenset(one.identifier for one in await box.sdk.loaded(attempts=1) if one.ttl_ms)
    except GatewayError:  # it is logged where LM Studio is called
        return frozenset()


async def unload(instance: Instance, box: Box, activity: Activity, count: Count | None) -> Unloaded:
    """Unload an instance, unless `count` says that requests run on it, and wait until it is gone."""
    kind, name = instance.kind, instance.id.name
    try:
        if count is not None and (counted := await count(instance)):
            return Unloaded("busy", counted)
        with unloading(instance.model, name, box, activity):
            with suppress(ModelNotFound):  # somebody else has unloaded it
                await box.sdk.unload(kind, name)
            if not await _leaves_list(name, box):
                raise StudioFailed(f"LM Studio still lists {name}, which it was asked to unload.")
    except GatewayError as exc:
        logger.warning("%s couldn't be unloaded: %s", name, exc)
        return Unloaded("failed", error=exc)
    logger.info("%s is unloaded", name)
    return Unloaded("gone")


@contextmanager
def unloading(model: str, name: str, box: Box, activity: Activity) -> Iterator[None]:
    """Publish the events of an unload that is made inside."""
    with activity.operation("model_unload", model) as operation:
        activity.events.publish(ModelUnloadStart(model_key=model, instance_id=name, box=box.name))
        yield
        total_ms = operation.elapsed_ms
        activity.events.publish(
            ModelUnloadComplete(model_key=model, instance_id=name, total_time_ms=total_ms, box=box.name)
        )


async def is_gone(name: str, box: Box) -> bool:
    """Have the list renewed, and return whether an instance that was loaded just now is gone again.

    Somebody else has unloaded it then, or LM Studio was started again. If LM Studio can't say that, a list
    that somebody else has requested since the load counts.
    """
    try:
        if name in (await box.list_models()).instances:
            return False
        # The list may have been made before the load ended, or not say what is in memory.
        return all(one.identifier != name for one in await box.sdk.loaded(attempts=1))
    except GatewayError:  # it is logged where LM Studio is called
        return box.catalogue.is_current and name not in box.catalogue.listing.instances


async def _leaves_list(name: str, box: Box) -> bool:
    """Wait until LM Studio doesn't list an instance any more: only then its memory is free."""
    with suppress(TimeoutError):
        async with asyncio.timeout(GONE_SECONDS):
            while True:
                if name not in await _listed(box):
                    await asyncio.sleep(0)  # the line takes in the new list
                    return True
                await asyncio.sleep(LIST_SECONDS)
    return False


async def _listed(box: Box) -> Collection[str]:
    """Return the instances that LM Studio lists now, none if it can't say."""
    box.catalogue.expire()
    try:
        return (await box.list_models()).instances
    except UpstreamUnavailable:
        return ()  # the call that unloads one has succeeded
