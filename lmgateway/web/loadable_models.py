"""Finds the model that a request names where the gateway decides which models are in memory.

There LM Studio must only be asked for models that it has: a request for any other one may be answered by
another model.
"""

from __future__ import annotations

from collections.abc import Callable

from ..access.callers import Caller
from ..access.model_rights import check_model, no_such_model
from ..boxes.box import Box
from ..boxes.joined_models import ModelSource
from ..boxes.listing import Listing
from ..errors import BadRequest, UpstreamUnavailable
from ..models.names import Resolved, resolve_loadable
from ..schema.common import ModelType
from ..schema.models import ActiveModel
from ..text import clean_name
from .ruleset import Ruleset

_WRONG_TYPE = {
    "llm": "The model {} is an embedding model, which generates no text.",
    "embedding": "The model {} isn't an embedding model, so it makes no embeddings.",
}

Find = Callable[[Listing], Resolved | None]


# Where a request goes: `key` and `instance` as for Choice. A NamedTuple takes 0.2 µs more.
Goal = tuple[str | None, str | None]
# As LM Studio decides.
ANYWHERE: Goal = (None, None)


def find_at_once(name: str, kind: ModelType, rules: Ruleset, active: ActiveModel | None) -> Goal | None:
    """Return where a request for a name goes, None if that must be looked up in another way."""
    models = rules.models
    if not models.has_residency(rules.config):
        return ANYWHERE if rules.profiles.aliases.match(name) is None else None
    if not models.catalogue.is_fresh:
        return None
    listing = models.catalogue.listing
    if (model := listing.instances.get(name)) is not None:
        return model.key, name
    model = listing.models.get(name)
    if model is None or (active is not None and name == active.instance_id):
        return None
    if model.type != kind and model.type is not None:
        return None
    return model.key, None


async def find_loadable(
    name: str,
    kind: ModelType,
    caller: Caller,
    rules: Ruleset,
    active: ActiveModel | None,
    *,
    is_active: bool = False,
) -> Resolved | None:
    """Return the model of this name, None if it turns out that this LM Studio's models can't be managed.

    None, too, if nothing is known of any model yet because the machine sleeps, which is woken up then.
    `is_active`: the name is that of the active model, and the client named none. While LM Studio can't be
    asked, its last lists count; not for a caller who may not use all models.

    Raises ModelNotFound, ModelNotAllowed, BadRequest for a model of the other type, UpstreamUnavailable.
    """
    models, is_limited, aliases = rules.models, not caller.models.allow_all, rules.profiles.aliases

    def find(listing: Listing) -> Resolved | None:
        return resolve_loadable(name, listing, aliases, active, is_active=is_active)

    found, is_asleep = None, False
    if models.catalogue.hangs and not is_limited:
        found = find(models.catalogue.complete)
    if found is None:
        try:
            found = await _look_up(models, find)
        except UpstreamUnavailable:
            if not is_limited:
                found = find(models.catalogue.complete)
            is_asleep = found is None and not is_limited and _was_never_awake(rules.boxes.first_up)
            if found is None and not (is_asleep or models.is_unmanageable):
                raise
    if models.is_unmanageable or is_asleep:
        return None
    if found is None:
        raise no_such_model(caller, name, models.catalogue.complete, kind)
    if is_limited:
        check_model(caller, found)
    _check_type(found, name, kind, caller, models.catalogue.listing)
    return found


async def _look_up(models: ModelSource, find: Find) -> Resolved | None:
    """Return what is found in the lists; in newer ones if the fresh ones don't have it.

    Raises UpstreamUnavailable.
    """
    listing = await models.fresh_models()
    found = find(listing)
    # Before an instance is loaded again, somebody else may have loaded one of its name.
    is_gone = found is None or not (found.instance is None or found.instance in listing.instances)
    if is_gone and not models.is_unmanageable:
        await models.look_again()
        found = find(models.catalogue.complete)
    return found


def _was_never_awake(box: Box) -> bool:
    return box.may_sleep and not box.catalogue.was_listed


def _check_type(found: Resolved, name: str, kind: ModelType, caller: Caller, listing: Listing) -> None:
    """Raise ModelNotFound or BadRequest for a model of the other type.

    One that is in memory isn't loaded for the request, and LM Studio refuses the request. But it may also
    answer with another model, which a caller who may not use all models may not get.
    """
    if found.model.type in {kind, None}:
        return
    if not caller.models.allow_all:
        raise no_such_model(caller, name, listing, kind)
    if all(model.key != found.model.key for model in listing.instances.values()):
        raise BadRequest(_WRONG_TYPE[kind].format(clean_name(found.model.key)))
