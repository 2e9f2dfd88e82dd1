"""The handlers of /admin/keys: makes, changes, rotates and revokes named keys."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
from aiohttp import web
from msgspec import UNSET, structs

from ..access.key_settings import CheckedSettings, check_settings
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
    RotateRequest,
)
from .merge_patch import merge_patch
from .request_bodies import read_json, read_members, validated
from .responses import json_response
from .state import CONTEXT, KEYS

_SETTINGS = KeySettings.__struct_fields__


async def list_keys(request: web.Request) -> web.Response:
    keys = request.app[KEYS]
    return json_response(KeyList(keys=tuple(_shown(key, keys.uses) for key in keys.ring.keys.values())))


async def show(request: web.Request) -> web.Response:
    keys = request.app[KEYS]
    return json_response(_shown(keys.ring.get(request.match_info["name"]), keys.uses))


async def make(request: web.Request) -> web.Response:
    new = validated(merge_patch({}, await read_members(request)), NewKey)
    context, keys = request[CONTEXT], request.app[KEYS]
    context.head.admit_first_key(context.caller)
    settings = KeySettings(**{name: getattr(new, name) for name in _SETTINGS})
    await _look_at_models(request, settings.model)
    checked = _checked(request, settings)
    key, secret = await keys.make(new.name, checked, is_anonymous=not context.caller.sent_key)
    return json_response(_with_secret(_shown(key, keys.uses), secret), status=201)


async def change(request: web.Request) -> web.Response:
    name, patch = request.match_info["name"], await read_members(request)
    keys = request.app[KEYS]
    shown = msgspec.to_builtins(_shown(keys.ring.get(name), keys.uses))
    await _look_at_models(request, keys.ring.get(name).settings.model or patch.get("model"))

    def edit(settings: KeySettings) -> CheckedSettings:
        patched = merge_patch(msgspec.to_builtins(settings), _without_unchanged(patch, shown))
        return _checked(request, validated(patched, KeySettings))

    return json_response(_shown(await keys.change(name, edit), keys.uses))


async def rotate(request: web.Request) -> web.Response:
    asked = await read_json(request, RotateRequest)
    keys = request.app[KEYS]
    key, secret = await keys.rotate(request.match_info["name"], asked.grace_seconds)
    return json_response(_with_secret(_shown(key, keys.uses), secret))


async def revoke(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    await request.app[KEYS].revoke(name)
    return json_response(KeyRevoked(name=name))


async def _look_at_models(request: web.Request, default_model: object) -> None:
    """Request LM Studio's models, by which a default model is checked against the globs."""
    if default_model is not None:
        with suppress(UpstreamUnavailable):
            await request[CONTEXT].rules.box.fresh_models()


def _checked(request: web.Request, settings: KeySettings) -> CheckedSettings:
    rules = request[CONTEXT].rules

    def key_of(name: str) -> str:
        return known_model(name, rules.box.catalogue.find, rules.profiles.aliases).key

    return check_settings(settings, unix_time(), key_of)


def _without_unchanged(patch: dict[str, Any], shown: dict[str, Any]) -> dict[str, Any]:
    """Return the patch without the read-only members of a key that was read and is sent back.

    Raises ValidationFailed if one of them has another value.
    """
    editable = {info.encode_name for info in structs.fields(KeySettings)}
    read_only = {info.encode_name for info in structs.fields(Key)} - editable
    details = [
        Mistake(path=name, message="This can't be changed")
        for name in read_only & patch.keys()
        if patch[name] != shown.get(name)
    ]
    if details:
        raise ValidationFailed("Validation failed", details=sorted(details, key=lambda one: one["path"]))
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


def _with_secret(key: Key, secret: str) -> KeyWithSecret:
    return KeyWithSecret(**structs.asdict(key), key=secret)
