"""`/api/v1/models/…`: loading, unloading and downloading."""

import asyncio
from typing import Annotated

import msgspec
from aiohttp import web

from ..engine.faults import ExplicitLoadFailed, LoadFailed
from ..engine.load_config import Settings, context_length_key
from ..engine.load_order import LoadOrder
from ..keys import STUDIO
from .bodies import read_body
from .express import json_response
from .listing import V1_SETTINGS, v1_config


class LoadBody(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    context_length: int | None = None
    eval_batch_size: int | None = None
    flash_attention: bool | None = None
    num_experts: int | None = None
    offload_kv_cache_to_gpu: bool | None = None
    echo_load_config: bool = False

    def settings(self, domain: str) -> Settings:
        asked: Settings = {key: getattr(self, name) for name, key in V1_SETTINGS.items()}
        return {**asked, context_length_key(domain): self.context_length}


class UnloadBody(msgspec.Struct, frozen=True):
    instance_id: str


class DownloadBody(msgspec.Struct, frozen=True):
    model: Annotated[str, msgspec.Meta(min_length=1)]


async def load(request: web.Request) -> web.Response:
    studio = request.app[STUDIO]
    body = await read_body(request, LoadBody)
    model = studio.on_disk(body.model)
    began = asyncio.get_running_loop().time()
    order = LoadOrder(model=model, settings=body.settings(model.type), origin="http")
    try:
        instance = await studio.load_regardless(order)
    except LoadFailed as failed:
        raise ExplicitLoadFailed(body.model, model.type, failed.reason) from failed
    answer: dict[str, object] = {
        "type": model.type,
        "instance_id": instance.identifier,
        "load_time_seconds": asyncio.get_running_loop().time() - began,
        "status": "loaded",
    }
    if body.echo_load_config:
        answer["load_config"] = v1_config(instance)
    return json_response(answer)


async def unload(request: web.Request) -> web.Response:
    body = await read_body(request, UnloadBody)
    await request.app[STUDIO].unload(body.instance_id, by="http")
    return json_response({"instance_id": body.instance_id})


async def download(request: web.Request) -> web.Response:
    studio = request.app[STUDIO]
    body = await read_body(request, DownloadBody)
    if studio.catalogue.get(body.model) is not None:
        return json_response({"status": "already_downloaded"})
    return json_response(studio.downloads.start(body.model, studio.pace).status())


async def download_status(request: web.Request) -> web.Response:
    return json_response(request.app[STUDIO].downloads.get(request.match_info["job_id"]).status())
