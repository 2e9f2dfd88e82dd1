"""The lists of models of each HTTP API."""

import time
from collections.abc import Iterator

from aiohttp import web

from ..engine.catalogue import Model
from ..engine.faults import UnknownModel
from ..engine.instance import Instance
from ..engine.studio import Studio
from ..keys import STUDIO
from .bodies import Json
from .express import json_response


async def openai_models(request: web.Request) -> web.Response:
    """List all models with just-in-time loading, otherwise only those in memory."""
    listed = [_openai(identifier) for identifier, _, _ in _entries(request.app[STUDIO])]
    return json_response({"data": listed, "object": "list"})


async def openai_model(request: web.Request) -> web.Response:
    return json_response(_openai(_entry(request)[0]))


async def v0_models(request: web.Request) -> web.Response:
    listed = [_v0(*entry) for entry in _entries(request.app[STUDIO], everything=True)]
    return json_response({"data": listed, "object": "list"})


async def v0_model(request: web.Request) -> web.Response:
    return json_response(_v0(*_entry(request)))


async def v1_models(request: web.Request) -> web.Response:
    studio = request.app[STUDIO]
    models = [_v1(model, studio) for model in studio.catalogue if model.type in ("llm", "embedding")]
    return json_response({"models": models})


def _entries(studio: Studio, *, everything: bool = False) -> Iterator[tuple[str, Model, Instance | None]]:
    """Return the models with their instance of the same name, if any, then the instances with other names.

    Kinds of models that LM Studio's HTTP APIs can't run are left out.
    """
    by_identifier = {instance.identifier: instance for instance in studio.memory.instances()}
    for model in studio.catalogue:
        instance = by_identifier.pop(model.model_key, None)
        if model.type in ("llm", "embedding") and (studio.switches.jit or everything or instance is not None):
            yield model.model_key, model, instance
    for identifier, instance in by_identifier.items():
        yield identifier, instance.model, instance


def _entry(request: web.Request) -> tuple[str, Model, Instance | None]:
    studio = request.app[STUDIO]
    name = request.match_info["model"]
    for entry in _entries(studio, everything=True):
        if entry[0] == name:
            return entry
    raise UnknownModel(name, studio.catalogue.keys())


def _openai(identifier: str) -> Json:
    return {
        "id": identifier,
        "object": "model",
        "created": int(time.time()),
        "owned_by": "organization_owner",
    }


def _v0(identifier: str, model: Model, instance: Instance | None) -> Json:
    quantization = model.quantization
    shown: Json = {
        "id": identifier,
        "object": "model",
        "type": "embeddings" if model.type == "embedding" else "vlm" if model.vision else "llm",
        "publisher": model.publisher,
        "arch": model.architecture,
        "compatibility_type": model.http_format,
        "quantization": None if quantization is None else quantization.name,
        "state": "not-loaded" if instance is None else "loaded",
        "max_context_length": model.max_context_length,
        "capabilities": ["tool_use"] if model.trained_for_tool_use else [],
    }
    if instance is not None:
        shown["loaded_context_length"] = instance.context_length
    return shown


def _v1(model: Model, studio: Studio) -> Json:
    quantization = model.quantization
    instances = [one for one in studio.memory.instances(model.type) if one.model is model]
    shown: Json = {
        "type": model.type,
        "publisher": model.publisher,
        "key": model.model_key,
        "display_name": model.display_name or model.model_key,
        "quantization": None
        if quantization is None
        else {"name": quantization.name, "bits_per_weight": quantization.bits},
        "size_bytes": model.size_bytes,
        "params_string": model.params_string,
        "loaded_instances": [{"id": one.identifier, "config": v1_config(one)} for one in instances],
        "max_context_length": model.max_context_length,
        "format": model.http_format,
    }
    if model.type == "llm":
        capabilities: Json = {"vision": model.vision, "trained_for_tool_use": model.trained_for_tool_use}
        if model.reasoning:
            capabilities["reasoning"] = _reasoning(model)
        shown |= {"architecture": model.architecture, "capabilities": capabilities, "description": None}
    described = studio.catalogue.description(model)
    return shown | {name: described[key] for key, name in V1_VARIANTS.items() if key in described}


V1_VARIANTS = {"variants": "variants", "selectedVariant": "selected_variant"}
"""`/api/v1`'s names for the fields of a model that has variants."""


def _reasoning(model: Model) -> Json:
    if model.architecture == "gpt-oss":
        return {"allowed_options": ["low", "medium", "high"], "default": "low"}
    return {"allowed_options": ["off", "on"], "default": "on"}


V1_SETTINGS = {
    "eval_batch_size": "llm.load.llama.evalBatchSize",
    "flash_attention": "llm.load.llama.flashAttention",
    "num_experts": "llm.load.numExperts",
    "offload_kv_cache_to_gpu": "llm.load.offloadKVCacheToGpu",
}
"""`/api/v1`'s names for load settings, which only LLMs have."""


def v1_config(instance: Instance) -> Json:
    """`{"context_length",…,"parallel"}`; an embedding model has a context length only."""
    shown: Json = {"context_length": instance.context_length}
    if instance.model.type == "llm":
        settings = instance.settings
        shown |= {name: settings[key] for name, key in V1_SETTINGS.items() if key in settings}
        shown["parallel"] = instance.slots.count
    return shown
