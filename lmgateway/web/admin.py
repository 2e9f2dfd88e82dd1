"""The handlers of /admin/models: lists, loads, unloads and activates models."""

from __future__ import annotations

import time
from typing import TypeVar

from aiohttp import web
from msgspec import structs

from ..boxes.load_order import LoadedInstance
from ..models.availability import Availability
from ..models.memory import USUAL_DRAIN_SECONDS, Drain
from ..models.names import WHERE_TO_LOOK
from ..scheduling.model_report import loaded_models, models_on_disk
from ..schema.common import ModelType
from ..schema.model_list import ModelList
from ..schema.models import (
    ActivateAnswer,
    ActivateRequest,
    CancelAnswer,
    DeactivateRequest,
    InstanceRequest,
    LoadAnswer,
    LoadRequest,
    UnloadAnswer,
    UnloadRequest,
)
from .choosing import without_alias
from .request_bodies import read_json
from .responses import json_response
from .ruleset import Ruleset
from .state import ACTIVE_MODELS, CONTEXT, MODELS, SCHEDULER

R = TypeVar("R", LoadRequest, InstanceRequest, UnloadRequest, ActivateRequest)

_WITHOUT_ACTIVE: dict[ModelType, str] = {
    "llm": "No model is active any more: requests must name one until you activate another.",
    "embedding": (
        "No embedding model is active any more: embedding requests must name one until you activate another."
    ),
}


async def list_models(request: web.Request) -> web.Response:
    rules, scheduler = request[CONTEXT].rules, request.app[SCHEDULER]
    listed, terms = await request.app[MODELS].listing(rules.box), scheduler.residency.terms
    loaded = loaded_models(listed.loaded, scheduler.line, time.monotonic(), box=rules.box.name, terms=terms)
    downloaded = models_on_disk(listed.downloaded, rules.config.models, terms)
    return json_response(ModelList(loaded=loaded, downloaded=downloaded))


async def load(request: web.Request) -> web.Response:
    rules = request[CONTEXT].rules
    asked = await _by_key(await read_json(request, LoadRequest), rules)
    started = time.monotonic()
    instance = await request.app[MODELS].load(asked, rules.box, rules.profiles.loads)
    subject = "It has" if instance.was_loaded else "LM Studio applied"
    warnings = tuple(f"{subject} {difference}." for difference in instance.differences)
    return json_response(
        LoadAnswer(
            model_key=asked.model_key,
            instance_id=asked.instance_id,
            identifier=instance.identifier,
            activated=asked.activates,
            total_time_ms=_ms_since(started),
            load_config=instance.load_config,
            ignored=instance.ignored,
            warnings=warnings,
            message=" ".join([_loaded(instance, asked), *warnings]),
        )
    )


def _loaded(instance: LoadedInstance, asked: LoadRequest) -> str:
    also = " and is now the active model" if asked.activates else ""
    if not instance.was_loaded:
        return f"{instance.identifier} is loaded{also}."
    hint = "" if asked.instance_id else " To load one more instance, send `another` (--another)."
    return f"{instance.identifier} is loaded already{also}.{hint}"


async def cancel_load(request: web.Request) -> web.Response:
    rules = request[CONTEXT].rules
    asked = await _by_key(await read_json(request, InstanceRequest), rules)
    cancelled = await request.app[MODELS].cancel_load(asked, rules.box)
    return json_response(
        CancelAnswer(
            model_key=asked.model_key,
            instance_id=asked.instance_id,
            message=f"The load of {', '.join(cancelled)} was cancelled.",
        )
    )


async def unload(request: web.Request) -> web.Response:
    rules = request[CONTEXT].rules
    asked = await _by_key(await read_json(request, UnloadRequest), rules)
    seconds = USUAL_DRAIN_SECONDS if asked.drain_seconds is None else asked.drain_seconds
    drain = Drain(seconds, force=asked.force is True)
    started = time.monotonic()
    unloaded, deactivated = await request.app[MODELS].unload(asked, rules.box, drain)
    if not unloaded:
        name = asked.instance_id or asked.model_key
        return json_response(
            UnloadAnswer(
                status="not_found",
                model_key=asked.model_key,
                instance_id=asked.instance_id,
                message=f"Nothing named {name} is loaded; {WHERE_TO_LOOK} lists what is.",
                error="Model not found",
            ),
            status=404,
        )
    hints = [_WITHOUT_ACTIVE[kind] for kind in deactivated]
    return json_response(
        UnloadAnswer(
            status="unloaded",
            model_key=asked.model_key,
            instance_id=asked.instance_id,
            total_time_ms=_ms_since(started),
            message=" ".join([f"Unloaded {', '.join(unloaded)}.", *hints]),
        )
    )


async def activate(request: web.Request) -> web.Response:
    rules = request[CONTEXT].rules
    asked = await _by_key(await read_json(request, ActivateRequest), rules)
    active, availability = await request.app[MODELS].activate(asked, rules.box)
    return json_response(
        ActivateAnswer(
            model_key=active.model_key,
            instance_id=active.instance_id,
            default_inference=active.default_inference,
            message=f"{active.name} is now the active model{_caveat(availability, rules)}.",
        )
    )


def _caveat(availability: Availability, rules: Ruleset) -> str:
    match availability.place:
        case "on disk" if rules.box.has_residency(rules.config):
            return ", and is loaded for the first request that needs it"
        case "on disk":
            return ", but isn't loaded: load it, unless LM Studio loads models on demand"
        case "missing":
            return ", but LM Studio has no model of that name"
        case "unknown":
            return ", but LM Studio doesn't say whether it has that model"
    return ""


async def deactivate(request: web.Request) -> web.Response:
    asked = await read_json(request, DeactivateRequest)
    await request.app[ACTIVE_MODELS].deactivate(asked.type)
    return json_response(request.app[ACTIVE_MODELS].current)


async def active_models(request: web.Request) -> web.Response:
    return json_response(request.app[ACTIVE_MODELS].current)


async def _by_key(asked: R, rules: Ruleset) -> R:
    """Return the request with the model's key in place of an alias."""
    return structs.replace(asked, model_key=await without_alias(asked.model_key, rules))


def _ms_since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
