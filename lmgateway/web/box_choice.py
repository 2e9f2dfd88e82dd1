"""On which box an admin's load is made."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from time import monotonic

from ..boxes.box import Box
from ..boxes.joined_models import ModelSource
from ..boxes.listing import KnownModel
from ..errors import GatewayError, UpstreamUnavailable
from ..scheduling.stations import Stations
from ..scheduling.tickets import Wanted
from ..schema.common import likely_type
from ..schema.models import LoadRequest
from .ruleset import Ruleset


async def box_for_load(asked: LoadRequest, rules: Ruleset, stations: Stations) -> Box:
    """Return the named box, else the one where a request for the model would have it loaded.

    LM Studio may know a name that it doesn't list: the first box that is up is asked for that. Raises
    BoxNotFound, BoxAsleep, UpstreamUnavailable.
    """
    boxes = rules.boxes
    if asked.box is not None:
        return boxes.named(asked.box)
    if boxes.only is not None:
        return boxes.only
    model = await _find(asked.model_key, rules.models)
    if model is None:
        return boxes.first_up
    target = Wanted("", model.key, asked.instance_id)
    chosen = stations.choose(target, model.type or likely_type(model.key), monotonic())
    if isinstance(chosen, GatewayError):
        raise chosen
    return boxes.get(chosen.name) or chosen.box


def keys_elsewhere(asked: LoadRequest, rules: Ruleset) -> Collection[str]:
    """Return the keys of the models on all boxes, if any may load the model, and there are several."""
    if asked.box is not None or rules.boxes.only is not None:
        return ()
    return {model.key for model in rules.models.catalogue.complete.models.values()}


async def _find(name: str, models: ModelSource) -> KnownModel | None:
    """Return the model that a box lists under this name. It is looked up once more if none does."""
    with suppress(UpstreamUnavailable):
        await models.fresh_models()
        if models.catalogue.find(name) is None:
            await models.look_again()
    return models.catalogue.find(name)
