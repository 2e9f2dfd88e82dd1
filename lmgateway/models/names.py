"""The names of models: which model or instances a name refers to, and which names are near a misspelt one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from difflib import SequenceMatcher
from heapq import nlargest
from itertools import islice
from typing import NamedTuple

from ..boxes.listing import KnownModel, Listing
from ..errors import ModelNotFound
from ..schema.models import ActiveModel, InstanceRequest, LoadedModel
from .aliases import Aliases

WHERE_TO_LOOK = "GET /admin/models (`lmgateway models`)"
MAX_NEAR_NAMES = 5
MIN_RATIO = 0.4
# Of a short name with the beginning of a longer one, which is unlike it as a whole: "lama" for llama-3.2-3b.
_MIN_BEGINNING_RATIO = 0.6
_SHORT_CHARACTERS = 16
# Bounds, because clients choose names and LM Studio its list: the search takes at most 30 ms. Comparing two
# names takes time with the cube of their lengths.
_NAME_CHARACTERS = 256
_RATIO_CHARACTERS = 64
_COMPARED_MODELS = 1000
_COMPARED_CLOSELY = 10
# The words of "qwen2.5-7b-instruct" are qwen2, 7b and instruct.
_WORD = re.compile(r"[a-z0-9]{2,}")


class Resolved(NamedTuple):
    """A model, and the name by which LM Studio is asked for it.

    `instance` is the identifier of the only instance that may answer.
    """

    name: str
    model: KnownModel
    instance: str | None = None


def resolve(name: str, listing: Listing, aliases: Aliases) -> Resolved | None:
    """Return what a name refers to: LM Studio's own names come before an alias. None if it is unknown."""
    if (found := _listed(name, listing)) is not None:
        return found
    key = aliases.match(name)
    return None if key is None else _listed(key, listing)


def _listed(name: str, listing: Listing) -> Resolved | None:
    if (model := listing.instances.get(name)) is not None:
        return Resolved(name, model, name)
    model = listing.models.get(name)
    return None if model is None else Resolved(name, model)


def resolve_loadable(
    name: str, listing: Listing, aliases: Aliases, active: ActiveModel | None, *, is_active: bool = False
) -> Resolved | None:
    """As `resolve`, where the gateway loads the models that aren't in memory.

    The identifier of the active model's own instance refers to it also while that isn't loaded: it is loaded
    again under this name. `is_active`: the name is that of the active model, and the client named none, so
    this comes before a model of this name.
    """
    if active is not None and name == active.instance_id and name not in listing.instances:
        model = listing.models.get(active.model_key) or listing.find(active.model_key)
        if model is not None and (is_active or name not in listing.models):
            return Resolved(name, model, name)
    return resolve(name, listing, aliases)


def known_model(name: str, find: Callable[[str], KnownModel | None], aliases: Aliases) -> KnownModel:
    """Return the model that a name refers to by what `find` knows; one with this key if it knows none."""
    if (model := find(name)) is not None:
        return model
    key = aliases.match(name) or name
    return find(key) or KnownModel(key)


def refers_to(named: InstanceRequest | ActiveModel, instance: LoadedModel) -> bool:
    """True if the instance has the named identifier or, if none is named, the model's key or path."""
    if named.instance_id is not None:
        return instance.identifier == named.instance_id
    return named.model_key in {instance.model_key, instance.path, instance.identifier}


def model_not_found(name: str, keys: Iterable[str], further_hint: str = "") -> ModelNotFound:
    """Return the error for a name that isn't among the models with these keys."""
    near = near_keys(name, keys)
    hint = f"The nearest on its disk: {', '.join(near)}." if near else f"{WHERE_TO_LOOK} lists what it has."
    sentences = [f"LM Studio has no model {name}.", hint, *filter(None, [further_hint])]
    return ModelNotFound(" ".join(sentences), details={"near": near})


def near_keys(name: str, keys: Iterable[str]) -> list[str]:
    """Return the keys that are most similar to `name`, the most similar first."""
    lower = _comparable(name)
    words, start = set(_WORD.findall(lower)), lower[:_RATIO_CHARACTERS]
    bound = SequenceMatcher(b=start)
    # By key: how many words it shares, and an upper bound of the ratio. Its time grows only with the length.
    promise: dict[str, tuple[int, float]] = {}
    for each in islice(keys, _COMPARED_MODELS):
        key = _comparable(each)
        bound.set_seq1(key[:_RATIO_CHARACTERS])
        ratio = bound.quick_ratio()
        if (beginning := _beginning(key, start)) is not None:
            bound.set_seq1(beginning)
            ratio = max(ratio, bound.quick_ratio())
        promise[each] = (len(words & set(_WORD.findall(key))), ratio)

    def likeness(key: str) -> tuple[int, float]:
        comparable = _comparable(key)
        ratio = SequenceMatcher(None, start, comparable[:_RATIO_CHARACTERS]).ratio()
        if (beginning := _beginning(comparable, start)) is not None:
            of_beginning = SequenceMatcher(None, start, beginning).ratio()
            ratio = max(ratio, of_beginning if of_beginning > _MIN_BEGINNING_RATIO else 0.0)
        return promise[key][0], ratio

    promising = nlargest(_COMPARED_CLOSELY, promise, key=lambda key: promise[key])
    ranked = sorted(((likeness(key), key) for key in promising), reverse=True)
    return [key for (shared, ratio), key in ranked[:MAX_NEAR_NAMES] if shared or ratio > MIN_RATIO]


def _beginning(key: str, name: str) -> str | None:
    """Return the beginning of the key's last part that a short name may stand for; None for a longer name."""
    return key.rpartition("/")[2][: len(name) + 2] if 3 <= len(name) <= _SHORT_CHARACTERS else None


def _comparable(name: str) -> str:
    return name[:_NAME_CHARACTERS].lower()
