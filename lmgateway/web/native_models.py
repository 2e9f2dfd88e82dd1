"""Answers LM Studio's own requests to load or unload a model, where the gateway decides what is in memory.

They are operations of the models, like those of /admin, and no exchanges with LM Studio.
"""

from __future__ import annotations

from contextlib import suppress

from aiohttp import web
from aiohttp.typedefs import Handler

from ..boxes.box import Box
from ..errors import ModelNotFound, UpstreamUnavailable, ValidationFailed
from ..models.aliases import Aliases
from ..models.memory import USUAL_DRAIN_SECONDS, Drain
from ..models.names import known_model
from ..schema.models import InstanceRequest, LoadRequest
from ..schema.native_models import NATIVE_NAMES, NativeLoad, NativeLoaded, NativeUnload, NativeUnloaded
from ..text import clean_name
from .request_bodies import T, read_json
from .responses import json_response
from .ruleset import Ruleset
from .state import CONTEXT, MODELS

LOAD, UNLOAD = "/api/v1/models/load", "/api/v1/models/unload"


async def handler_of(method: str, path: str, rules: Ruleset) -> Handler | None:
    """Return what answers a request for this path, None if it is forwarded."""
    handler = _HANDLERS.get(path) if method == "POST" else None
    box, config = rules.boxes.first_up, rules.config
    if handler is None or not box.has_residency(config):
        return None
    with suppress(UpstreamUnavailable):  # its first answer says whether its models can be managed
        await box.fresh_models()
    return handler if box.has_residency(config) else None


async def load(request: web.Request) -> web.Response:
    rules, body = request[CONTEXT].rules, await _read(request, NativeLoad)
    key = known_model(body.model, rules.boxes.first_up.catalogue.find, rules.profiles.aliases).key
    asked = LoadRequest(model_key=key, load_config=body.load_config, activate=False)
    instance = await request.app[MODELS].load(asked, rules.boxes.first_up, rules.profiles.loads)
    answer = NativeLoaded(
        type=instance.type, instance_id=instance.identifier, load_time_seconds=instance.load_seconds
    )
    if body.echo_load_config:
        answer = NativeLoaded(
            type=answer.type,
            instance_id=answer.instance_id,
            load_time_seconds=answer.load_time_seconds,
            load_config=_native(instance.load_config),
        )
    response = json_response(answer)
    if instance.ignored:
        names = (name.removeprefix("loadConfig.") for name in instance.ignored)
        response.headers["X-Ignored"] = ", ".join(NATIVE_NAMES.get(name, name) for name in names)
    return response


def _native(config: dict[str, object]) -> dict[str, object]:
    return {name: config[key] for key, name in NATIVE_NAMES.items() if config.get(key) is not None}


async def unload(request: web.Request) -> web.Response:
    rules, body = request[CONTEXT].rules, await _read(request, NativeUnload)
    box = rules.boxes.first_up
    name = await _instance_of(body.instance_id, box, rules.profiles.aliases)
    asked = InstanceRequest(model_key=name, instance_id=name, box=box.name)
    unloaded = await request.app[MODELS].unload(asked, rules.boxes, Drain(USUAL_DRAIN_SECONDS))
    if not unloaded.identifiers:
        raise ModelNotFound(f"Nothing named {clean_name(body.instance_id)} is loaded.")
    return json_response(NativeUnloaded(instance_id=unloaded.identifiers[0]))


async def _instance_of(name: str, box: Box, aliases: Aliases) -> str:
    """Return the identifier that a name refers to: a model's name if the model has one instance."""
    if name in box.catalogue.listing.instances:
        return name
    with suppress(UpstreamUnavailable):
        await box.list_models()
    key = known_model(name, box.catalogue.find, aliases).key
    instances = [one for one, model in box.catalogue.listing.instances.items() if model.key == key]
    if name in instances or len(instances) != 1:
        return name
    return instances[0]


async def _read(request: web.Request, kind: type[T]) -> T:
    """As read_json, with all mistakes in the message: the path's shape has no room for details."""
    try:
        return await read_json(request, kind)
    except ValidationFailed as exc:
        mistakes = exc.details if isinstance(exc.details, list) else []
        sentences = (": ".join(filter(None, (one["path"], one["message"]))) for one in mistakes)
        raise ValidationFailed("; ".join(sentences)) from exc


_HANDLERS: dict[str, Handler] = {LOAD: load, UNLOAD: unload}
