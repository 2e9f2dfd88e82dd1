"""The handlers of /admin/models: lists, loads, unloads and activates models."""

from __future__ import annotations

import time
from itertools import chain
from typing import TypeVar

from aiohttp import web
from msgspec import structs

from ..boxes.load_order import LoadedInstance
from ..models.availability import Availability
from ..models.memory import USUAL_DRAIN_SECONDS, Drain
from ..models.names import WHERE_TO_LOOK
from ..scheduling.model_report import loaded_models, models_on_disk
from ..scheduling.residency.terms import ResidencyTerms
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
from .box_choice import box_for_load, keys_elsewhere
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
    rules, line = request[CONTEXT].rules, request.app[SCHEDULER].line
    boxes, now = await request.app[MODELS].listing(rules.boxes), time.monotonic()
    terms = {box.name: ResidencyTerms.of(rules.config, box) for box in rules.boxes}
    loaded = [
        loaded_models(one.loaded, line, now, box=one.box.name, terms=terms[one.box.name]) for one in boxes
    ]
    downloaded = models_on_disk(
        {one.box.name: one.downloaded for one in boxes},
        rules.config.models,
        {pin for of_box in terms.values() for pin in of_box.pins},
    )
    return json_response(ModelList(loaded=tuple(chain.from_iterable(loaded)), downloaded=downloaded))


async def load(request: web.Request) -> web.Response:
    rules = request[CONTEXT].rules
    asked = await _by_key(await read_json(request, LoadRequest), rules)
    started = time.monotonic()
    box = await box_for_load(asked, rules, request.app[SCHEDULER].stations)
    others = keys_elsewhere(asked, rules)
    instance = await request.app[MODELS].load(asked, box, rules.profiles.loads, others)
    subject = "It has" if instance.was_loaded else "LM Studio applied"
    warnings = tuple(f"{subject} {difference}." for difference in instance.differences)
    place = "" if rules.boxes.only is not None else f" on {box.name}"
    return json_response(
        LoadAnswer(
            model_key=asked.model_key,
            instance_id=asked.instance_id,
            identifier=instance.identifier,
            box=box.name,
            activated=asked.activates,
            total_time_ms=_ms_since(started),
            load_config=instance.load_config,
            ignored=instance.ignored,
            warnings=warnings,
            message=" ".join([_loaded(instance, asked, place), *warnings]),
        )
    )


def _loaded(instance: LoadedInstance, asked: LoadRequest, place: str) -> str:
    also = " and is now the active model" if asked.activates else ""
    if not instance.was_loaded:
        return f"{instance.identifier} is loaded{place}{also}."
    hint = "" if asked.instance_id else " To load one more instance, send `another` (--another)."
    return f"{instance.identifier} is loaded{place} already{also}.{hint}"


async def cancel_load(request: web.Request) -> web.Response:
    rules = request[CONTEXT].rules
    asked = await _by_key(await read_json(request, InstanceRequest), rules)
    cancelled = await request.app[MODELS].cancel_load(asked, rules.boxes)
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
    unloaded = await request.app[MODELS].unload(asked, rules.boxes, drain)
    if not unloaded.identifiers:
        name, place = asked.instance_id or asked.model_key, f" on {asked.box}" if asked.box else ""
        return json_response(
            UnloadAnswer(
                status="not_found",
                model_key=asked.model_key,
                instance_id=asked.instance_id,
                message=f"Nothing named {name} is loaded{place}; {WHERE_TO_LOOK} lists what is.",
                error="Model not found",
            ),
            status=404,
        )
    hints = [_WITHOUT_ACTIVE[kind] for kind in unloaded.deactivated]
    return json_response(
        UnloadAnswer(
            status="unloaded",
            model_key=asked.model_key,
            instance_id=asked.instance_id,
            total_time_ms=_ms_since(started),
            message=" ".join([f"Unloaded {unloaded.names}.", *hints]),
        )
    )


async def activate(request: web.Request) -> web.Response:
    rules = request[CONTEXT].rules
    asked = await _by_key(await read_json(request, ActivateRequest), rules)
    active, availability = await request.app[MODELS].activate(asked, rules.boxes)
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
        case "on disk" if rules.models.has_residency(rules.config):
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
