"""The names of models: which instances a name refers to, and which names are near a misspelt one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from heapq import nlargest
from itertools import islice
from typing import Literal, NamedTuple

from ..boxes import inventory
from ..errors import ModelNotFound
from ..schema.common import ModelType
from ..schema.models import ActiveModel, DownloadedModel, InstanceRequest, LoadedModel

WHERE_TO_LOOK = "GET /admin/models (`lmgateway models`)"
MAX_NEAR_NAMES = 5
MIN_RATIO = 0.4
# Bounds, because names are chosen by clients, and lists by LM Studio: the search takes at most 20 ms.
_COMPARED_CHARACTERS = 128
_COMPARED_MODELS = 1000
_COMPARED_CLOSELY = 10
# The words of "qwen2.5-7b-instruct" are qwen2, 7b and instruct.
_WORD = re.compile(r"[a-z0-9]{2,}")


class Availability(NamedTuple):
    """Whether LM Studio has a model in memory or on disk, and its type; similar names if it has none."""

    place: Literal["loaded", "on disk", "missing", "unknown"]
    type: ModelType | None = None
    near: tuple[str, ...] = ()


def look_up(
    named: ActiveModel, on_disk: Sequence[DownloadedModel], loaded: Iterable[LoadedModel]
) -> Availability:
    for instance in loaded:
        if refers_to(named, instance):
            return Availability("loaded", instance.kind)
    model = inventory.find(named.model_key, on_disk)
    if model is not None:
        return Availability("on disk", model.kind)
    return Availability("missing", near=tuple(near_names(named.model_key, on_disk)))


def refers_to(named: InstanceRequest | ActiveModel, instance: LoadedModel) -> bool:
    """True if the instance has the named identifier or, if none is named, the model's key or path."""
    if named.instance_id is not None:
        return instance.identifier == named.instance_id
    return named.model_key in {instance.model_key, instance.path, instance.identifier}


def model_not_found(name: str, on_disk: Iterable[DownloadedModel]) -> ModelNotFound:
    near = near_names(name, on_disk)
    hint = f"The nearest on its disk: {', '.join(near)}." if near else f"{WHERE_TO_LOOK} lists what it has."
    return ModelNotFound(f"LM Studio has no model {name}. {hint}", details={"near": near})


def near_names(name: str, models: Iterable[DownloadedModel]) -> list[str]:
    """Return the keys that are most similar to `name`, the most similar first."""
    lower = name[:_COMPARED_CHARACTERS].lower()
    words = set(_WORD.findall(lower))
    matcher = SequenceMatcher(b=lower)

    def promise(key: str) -> tuple[int, float]:
        matcher.set_seq1(key)
        return len(words & set(_WORD.findall(key))), matcher.quick_ratio()

    def likeness(key: str) -> tuple[int, float]:
        return len(words & set(_WORD.findall(key))), SequenceMatcher(None, lower, key).ratio()

    keys = {
        model.model_key: model.model_key[:_COMPARED_CHARACTERS].lower()
        for model in islice(models, _COMPARED_MODELS)
    }
    # The ratio takes time with the product of the lengths. The quick one, which is no less, doesn't.
    promising = nlargest(_COMPARED_CLOSELY, keys, key=lambda key: promise(keys[key]))
    ranked = sorted(((likeness(keys[key]), key) for key in promising), reverse=True)
    return [key for (shared, ratio), key in ranked[:MAX_NEAR_NAMES] if shared or ratio > MIN_RATIO]
