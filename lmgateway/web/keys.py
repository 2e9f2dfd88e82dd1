"""The handlers of /admin/keys: makes, changes, rotates and revokes named keys."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
from aiohttp import web
from msgspec import UNSET, structs

from ..access.callers import Caller
from ..access.key_settings import CheckedSettings, check_name, check_settings
from ..access.key_uses import KeyUses
from ..access.keyring import NamedKey
from ..errors import Mistake, UpstreamUnavailable, ValidationFailed
from ..models.names import known_model
from ..observe.clock import iso_timestamp, unix_time
from ..schema.keys import (
    Key,
    KeyList,
    KeyRevoked,
    KeySettings,
    KeyWithSecret,
    NewKey,
    OwnKey,
    RotateRequest,
)
from .merge_patch import merge_patch
from .request_bodies import read_json, read_members, validated
from .responses import json_response
from .state import CONTEXT, KEYS, RATE_LIMITS

_SETTINGS = KeySettings.__struct_fields__
_CHANGING = {"lastUsedAt", "recentAddresses"}


async def list_keys(request: web.Request) -> web.Response:
    keys = request.app[KEYS]
    by_name = sorted(keys.ring.keys.items())
    return json_response(KeyList(keys=tuple(_shown(key, keys.uses) for _, key in by_name)))


async def show(request: web.Request) -> web.Response:
    keys = request.app[KEYS]
    return json_response(_shown(keys.ring.get(request.match_info["name"]), keys.uses))


async def show_own(request: web.Request) -> web.Response:
    caller, keys = request[CONTEXT].caller, request.app[KEYS]
    key = _shown(keys.ring.get(caller.name), keys.uses) if caller.is_named else _unnamed(caller)
    used, left = request.app[RATE_LIMITS].used_and_left(caller.name)
    return json_response(OwnKey(key=key, used=used, left=left))


async def make(request: web.Request) -> web.Response:
    new = validated(merge_patch({}, await read_members(request)), NewKey)
    if details := list(check_name(new.name)):
        raise ValidationFailed("Validation failed", details=details)
    context, keys = request[CONTEXT], request.app[KEYS]
    context.head.admit_first_key(context.caller)
    settings = KeySettings(**{name: getattr(new, name) for name in _SETTINGS})
    await _look_at_models(request, settings.model)
    key, secret = await keys.make(new.name, _checked(request, settings), by=_author(request))
    return json_response(_with_secret(_shown(key, keys.uses), secret), status=201)


async def change(request: web.Request) -> web.Response:
    name, patch = request.match_info["name"], await read_members(request)
    keys = request.app[KEYS]
    shown = msgspec.to_builtins(_shown(keys.ring.get(name), keys.uses))
    await _look_at_models(request, keys.ring.get(name).settings.model or patch.get("model"))

    def edit(settings: KeySettings) -> CheckedSettings:
        patched = merge_patch(msgspec.to_builtins(settings), _without_unchanged(patch, shown))
        return _checked(request, validated(patched, KeySettings), before=settings)

    key = await keys.change(name, edit, by=_author(request))
    return json_response(_shown(key, keys.uses))


async def rotate(request: web.Request) -> web.Response:
    asked = await read_json(request, RotateRequest)
    keys = request.app[KEYS]
    grace = asked.grace_seconds or 0.0
    key, secret = await keys.rotate(request.match_info["name"], grace, by=_author(request))
    return json_response(_with_secret(_shown(key, keys.uses), secret))


async def revoke(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    await request.app[KEYS].revoke(name, by=_author(request))
    return json_response(KeyRevoked(name=name))


def _author(request: web.Request) -> Caller:
    """Return the caller of a change, whose answer is sent even if the change ends the caller's own key.

    Otherwise the new secret of a key that replaces itself would be lost.
    """
    request[CONTEXT].end = lambda _error: None
    return request[CONTEXT].caller


async def _look_at_models(request: web.Request, default_model: object) -> None:
    """Request LM Studio's models, by which a default model is checked against the globs."""
    if default_model is not None:
        with suppress(UpstreamUnavailable):
            await request[CONTEXT].rules.models.fresh_models()


def _checked(
    request: web.Request, settings: KeySettings, before: KeySettings | None = None
) -> CheckedSettings:
    rules = request[CONTEXT].rules

    def key_of(name: str) -> str:
        return known_model(name, rules.models.catalogue.find, rules.profiles.aliases).key

    return check_settings(settings, unix_time(), key_of, before=before)


def _without_unchanged(patch: dict[str, Any], shown: dict[str, Any]) -> dict[str, Any]:
    """Return the patch without the read-only members of a key that was read and is sent back.

    Raises ValidationFailed if one of them has another value, unless it changes by itself with each use.
    """
    editable = {info.encode_name for info in structs.fields(KeySettings)}
    read_only = {info.encode_name for info in structs.fields(Key)} - editable
    details = [
        Mistake(path=name, message="This can't be changed")
        for name in sorted((read_only - _CHANGING) & patch.keys())
        if patch[name] != shown.get(name)
    ]
    if details:
        raise ValidationFailed("Validation failed", details=details)
    return {name: value for name, value in patch.items() if name not in read_only}


def _shown(key: NamedKey, uses: KeyUses) -> Key:
    settings: dict[str, Any] = {name: getattr(key.settings, name) for name in _SETTINGS}
    last = uses.last(key.name)
    return Key(
        name=key.name,
        id=key.secret.id,
        **{name: value for name, value in settings.items() if value is not None},
        created_at=iso_timestamp(key.created),
        last_used_at=UNSET if last is None else iso_timestamp(last),
        recent_addresses=uses.recent_addresses(key.name),
    )


def _unnamed(caller: Caller) -> Key:
    """Return the owner, or anyone, in the form of a key: it has every right and no limits."""
    defaults = KeySettings()
    return Key(
        name=caller.name,
        scopes=tuple(sorted(caller.scopes)),
        models=defaults.models,
        addresses=defaults.addresses,
        share=defaults.share,
        priority=defaults.priority,
        limits=defaults.limits,
    )


def _with_secret(key: Key, secret: str) -> KeyWithSecret:
    return KeyWithSecret(**structs.asdict(key), key=secret)
