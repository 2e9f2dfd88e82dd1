"""Whether LM Studio has a model that is to be activated."""

from __future__ import annotations

import asyncio
from typing import Literal, NamedTuple

from ..boxes.box import Box
from ..boxes.box_models import UNANSWERED
from ..boxes.box_set import BoxSet
from ..boxes.listing import KnownModel, Listing
from ..errors import UpstreamUnavailable
from ..schema.common import ModelType
from ..schema.models import ActiveModel


class Availability(NamedTuple):
    """Where LM Studio has a model, and its type.

    `unknown`: LM Studio couldn't be asked. `keys` are those of the models that it has instead of a missing
    one.
    """

    place: Literal["loaded", "on disk", "missing", "unknown"]
    type: ModelType | None = None
    keys: frozenset[str] = frozenset()


async def look_up(named: ActiveModel, boxes: BoxSet) -> Availability:
    """Find the model in the boxes' lists. A name that isn't in the last ones is looked up in new ones."""
    models = boxes.models
    try:
        listing = await models.fresh_models()
        model = listing.find(named.model_key)
        if model is None:
            await models.look_again()
            listing = models.catalogue.complete
            model = listing.find(named.model_key)
    except UpstreamUnavailable:
        return Availability("unknown")
    if model is not None:
        return Availability("loaded" if _is_loaded(named, model, listing) else "on disk", model.type)
    if not all(await asyncio.gather(*map(_lists_the_disk, boxes))):
        return Availability("unknown")
    return Availability("missing", keys=frozenset(one.key for one in listing.models.values()))


def _is_loaded(named: ActiveModel, model: KnownModel, listing: Listing) -> bool:
    if named.instance_id is not None:
        return named.instance_id in listing.instances
    return any(one.key == model.key for one in listing.instances.values())


async def _lists_the_disk(box: Box) -> bool:
    """True if a model that isn't in a box's lists isn't on its disk either.

    Without its just-in-time loading LM Studio lists over HTTP only what is loaded, and the rest over its SDK.
    Of a box that is left alone, what it listed last counts.
    """
    if box.catalogue.listing.on_demand:
        return True
    if box.is_left_alone:
        return bool(box.catalogue.complete.models)
    try:
        await box.sdk.downloaded(attempts=1)
    except UNANSWERED:
        return False
    return True
