"""What the boxes have on disk and in memory: LM Studio is asked, or it is what was known last."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from ..errors import GatewayError, StudioFailed, UpstreamSilent, UpstreamUnavailable
from ..schema.models import DownloadedModel, LoadedModel
from . import last_known
from .box import Box
from .box_set import BoxSet
from .joined_models import NONE_UP

UNANSWERED = (UpstreamUnavailable, UpstreamSilent, StudioFailed)
"""What a list raises that can't be had."""

LIST_SECONDS = 5
_LATE = "LM Studio didn't list its models in time. It may be frozen."


class BoxModels(NamedTuple):
    """One box's models. Those in memory are unknown while it is down, and then there are none."""

    box: Box
    loaded: tuple[LoadedModel, ...]
    downloaded: tuple[DownloadedModel, ...]


async def models_of(boxes: BoxSet) -> tuple[BoxModels, ...]:
    """Return the models of each box.

    One that is left alone isn't asked, and one of several may fail: theirs are as they were known last.
    Raises as SdkCalls if it is the only box, else only if nothing is known of any.
    """
    if not boxes.is_watched:
        return (await _ask(boxes.main),)
    outcomes = await asyncio.gather(*map(_ask_or_recall, boxes))
    if not any(models.loaded or models.downloaded for models, _ in outcomes):
        failures = [failure for _, failure in outcomes if failure is not None]
        answered = any(failure is None and not models.box.is_left_alone for models, failure in outcomes)
        if not answered:
            raise failures[0] if failures else UpstreamUnavailable(NONE_UP)
    return tuple(models for models, _ in outcomes)


async def _ask(box: Box, attempts: int | None = None) -> BoxModels:
    downloaded, loaded = await asyncio.gather(
        box.sdk.downloaded(attempts=attempts), box.sdk.loaded(attempts=attempts)
    )
    return BoxModels(box, loaded, downloaded)


async def _ask_or_recall(box: Box) -> tuple[BoxModels, GatewayError | None]:
    """Return a box's models, and why it couldn't be asked for them."""
    failure: GatewayError | None = None
    try:
        async with asyncio.timeout(LIST_SECONDS):
            if box.is_unmanageable and not box.is_left_alone:
                await box.fresh_models()
            elif not box.is_left_alone:
                return await _ask(box, attempts=1), None
    except TimeoutError:
        failure = UpstreamSilent(_LATE)
    except UNANSWERED as exc:
        failure = exc
    return recalled(box), failure


def recalled(box: Box) -> BoxModels:
    """Return a box's models as they were known last."""
    loaded = last_known.in_memory(box.catalogue) if box.is_up else ()
    return BoxModels(box, loaded, last_known.on_disk(box.catalogue))


async def loaded_on(box: Box) -> tuple[LoadedModel, ...]:
    """Return what a box has in memory, or had when it was known last. It never fails."""
    models, _ = await _ask_or_recall(box)
    return models.loaded
