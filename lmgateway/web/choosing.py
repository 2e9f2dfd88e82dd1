"""The second stage of a proxied request: which model it goes to, and whether its caller may use that model.

Where the gateway doesn't decide which models are in memory, LM Studio is asked for its models only if the
answer depends on them: for a caller who may not use all of them, and for an alias.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from ..access.callers import Caller
from ..access.model_rights import check_body, check_model, no_such_model
from ..access.response_ids import ResponseIds
from ..boxes.joined_models import ModelSource
from ..boxes.listing import Listing
from ..errors import BadRequest, UpstreamUnavailable
from ..models.aliases import NO_ALIASES
from ..models.names import Resolved, known_model, resolve
from ..schema.common import ModelType, likely_type
from ..schema.models import ActiveModel, ActiveModels, DefaultInference
from ..traffic.long_body import VALUE_BYTES, LongBody
from ..traffic.plan import Incoming
from ..traffic.requirements import previous_response
from ..traffic.rewrite import Body, Choice, is_empty, text_of
from ..traffic.short_body import ShortBody
from .loadable_models import find_at_once, find_loadable
from .ruleset import Ruleset

_NAME_ONE = "Name a model: the key {} has no default model here, and no model is active."
_UNREADABLE_NAME = "The `model` can't be read: no model has such a name."
_NO_NAME = "The `model` isn't a string of at most 4096 bytes, so it can't be checked for the key {}."


class ChosenModel(NamedTuple):
    """The name that LM Studio is asked for; `is_default`: it is that of the caller's default model.

    `key` and `instance` as for Choice.
    """

    name: str | None
    is_default: bool = False
    key: str | None = None
    instance: str | None = None


async def choose(
    incoming: Incoming, caller: Caller, rules: Ruleset, models: ActiveModels, ids: ResponseIds
) -> Choice:
    """Return what fills in the request.

    Raises BadRequest, ScopeMissing, ModelNotAllowed, ModelNotFound, PreviousResponseNotFound,
    UpstreamUnavailable.
    """
    dialect, body = incoming.dialect, incoming.body
    if dialect is None or not isinstance(body, (ShortBody, LongBody)):
        return Choice()
    is_limited = not caller.models.allow_all
    if is_limited or not caller.may_run_tools:
        check_body(caller, incoming.target.path, body, incoming.headers.getall("Content-Type", ()))
    fields = body.fields
    if fields is None:
        return Choice()
    ids.check(previous_response(body, dialect), caller.name)
    kind, active, value = dialect.model_type, models.of(dialect.model_type), fields.get("model")
    name = named = text_of(value)
    if active is not None and caller.model is None and (value is None or is_empty(value)):
        name = active.name
    if name and not is_limited and (goal := find_at_once(name, kind, rules, active)) is not None:
        # Nearly every request: nothing has to be requested, and this takes 3 µs less than the general way.
        defaults = _defaults(name, caller, rules, active)
        return Choice(name, None if name == named else name, defaults, *goal)
    if value is None or is_empty(value):
        named = None
    elif is_limited and (named is None or _is_cut(body)):
        raise BadRequest(_NO_NAME.format(caller.name))
    elif named is None:
        if rules.models.has_residency(rules.config) and bytes(value).startswith(b'"'):
            raise BadRequest(_UNREADABLE_NAME)
        return Choice(None, None, _defaults(None, caller, rules, active))  # for LM Studio to refuse
    chosen = await choose_model(named, kind, caller, rules, active, may_load=True)
    name = chosen.name
    defaults = _defaults(name, caller, rules, active, is_default=chosen.is_default)
    return Choice(name, None if name == named else name, defaults, chosen.key, chosen.instance)


def _is_cut(body: Body) -> bool:
    """True for a name of which the text may be only the beginning."""
    return len(body.value("model") or b"") > VALUE_BYTES


async def choose_model(
    named: str | None,
    kind: ModelType,
    caller: Caller,
    rules: Ruleset,
    active: ActiveModel | None,
    *,
    may_load: bool = False,
) -> ChosenModel:
    """Return the named model, else the caller's default one of this type, else the active one.

    `may_load`: one that isn't in memory is loaded, if the gateway decides that. Raises as `choose`.
    """
    find = partial(_find, kind=kind, caller=caller, rules=rules, active=active, may_load=may_load)
    if named is not None:
        return await find(named)
    if caller.model is not None:
        await _learn_types(caller, rules, may_load=may_load)
        if _type_of(caller.model, rules) == kind:
            return (await find(caller.model))._replace(is_default=True)
    if active is not None:
        return await find(active.name, is_active=True)
    if not caller.models.allow_all:
        raise BadRequest(_NAME_ONE.format(caller.name))
    return ChosenModel(None)


async def _learn_types(caller: Caller, rules: Ruleset, *, may_load: bool) -> None:
    """Have the type of the caller's default model known. Raises UpstreamUnavailable."""
    if not caller.models.allow_all:
        await rules.models.fresh_models()
    elif may_load and rules.models.has_residency(rules.config):
        with suppress(UpstreamUnavailable):
            await rules.models.fresh_models()


async def check_shown(name: str, caller: Caller, rules: Ruleset) -> None:
    """Raise as `choose` unless LM Studio shows this name to a caller who may not use all models."""

    def find(listing: Listing) -> Resolved | None:
        found = resolve(name, listing, NO_ALIASES)
        return found if found and name in {found.model.key, *listing.instances} else None

    await _find_allowed(name, None, caller, rules.models, find)


async def _find_allowed(
    name: str,
    kind: ModelType | None,
    caller: Caller,
    models: ModelSource,
    find: Callable[[Listing], Resolved | None],
) -> Resolved:
    """Return what `find` finds for a name in LM Studio's models, if the caller may use it.

    A name that it doesn't find is looked up once more. Raises as `choose`.
    """
    was_fresh, listing = models.catalogue.is_fresh, await models.fresh_models()
    found = find(listing)
    if found is None and was_fresh:
        await models.look_again(on_disk=False)
        listing = models.catalogue.listing
        found = find(listing)
    if found is None:
        raise no_such_model(caller, name, listing, kind)
    check_model(caller, found)
    return found


async def _find(
    name: str,
    kind: ModelType,
    caller: Caller,
    rules: Ruleset,
    active: ActiveModel | None,
    *,
    may_load: bool,
    is_active: bool = False,
) -> ChosenModel:
    """Return the name to ask LM Studio for: an alias becomes its model's key. Raises as `choose`."""
    if may_load and rules.models.has_residency(rules.config):
        loadable = await find_loadable(name, kind, caller, rules, active, is_active=is_active)
        if loadable is not None:
            return ChosenModel(loadable.name, key=loadable.model.key, instance=loadable.instance)
    if caller.models.allow_all:
        return ChosenModel(await without_alias(name, rules))

    def find(listing: Listing) -> Resolved | None:
        """LM Studio may answer a name with another model, if it doesn't have or load this one."""
        found = resolve(name, listing, rules.profiles.aliases)
        if found is None or not caller.models.allow(found.model.key):
            return found
        is_kind = (found.model.type or likely_type(found.model.key)) == kind
        return found if is_kind and listing.answers(found.model) else None

    return ChosenModel((await _find_allowed(name, kind, caller, rules.models, find)).name)


async def without_alias(name: str, rules: Ruleset) -> str:
    """Return the key of the model that has this alias; the name itself if it is LM Studio's, or no alias."""
    key = rules.profiles.aliases.match(name)
    if key is None:
        return name
    try:
        is_name = (await rules.models.fresh_models()).find(name) is not None
    except UpstreamUnavailable:
        is_name = rules.models.catalogue.find(name) is not None
    return name if is_name else key


def _type_of(name: str, rules: Ruleset) -> ModelType:
    """Return a model's type by the last lists, else guess it."""
    model = known_model(name, rules.models.catalogue.find, rules.profiles.aliases)
    return model.type or likely_type(model.key)


def _defaults(
    name: str | None,
    caller: Caller,
    rules: Ruleset,
    active: ActiveModel | None,
    *,
    is_default: bool = False,
) -> tuple[DefaultInference, ...]:
    """Return the sources of parameters: the key, the model's profile, the active model.

    The last one isn't a source for the caller's default model.
    """
    profile = _profile(name, rules, active) if name is not None and rules.profiles.defaults else None
    of_active = None if active is None or is_default else active.default_inference
    if profile is None and caller.default_inference is None:
        return () if of_active is None else (of_active,)
    sources = (caller.default_inference, profile, of_active)
    return tuple([source for source in sources if source is not None])


def _profile(name: str, rules: Ruleset, active: ActiveModel | None) -> DefaultInference | None:
    profiles, known = rules.profiles.defaults, rules.models.catalogue.find(name)
    profile = profiles.get(name if known is None else known.key)
    if profile is None and active is not None and name == active.name:
        return profiles.get(active.model_key)
    return profile
