"""`lmgateway status`: the gateway, LM Studio and the caller's key, as far as the key may see them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any, Literal

from ..observe.clock import unix_time
from ..schema.common import Message
from .failures import EX_NOPERM, EX_UNAVAILABLE, RequestFailed
from .gateway_client import GatewayClient
from .key_tables import Json, describe, span
from .models import ask_gateway
from .output import say_json, say_table

_HIDDEN = "not shown to this key: it needs the scope {}"
_ABOUT_KEY = {
    "scopes",
    "models",
    "limits",
    "requests this minute",
    "tokens this minute",
    "tokens today",
    "expires",
}


class Status(Message, frozen=True, kw_only=True):
    """What the key may not see is null. `lm_studio_problem` says why LM Studio is down."""

    url: str
    version: str
    uptime_seconds: float
    lm_studio: Literal["up", "down"] | None
    lm_studio_problem: str | None
    active_models: dict[str, str | None] | None
    in_memory: list[str] | None
    running: int | None
    waiting: int | None
    key: Any


def status(options: argparse.Namespace) -> int:
    async def ask(gateway: GatewayClient) -> int:
        found = await _ask(gateway)
        if options.json:
            say_json(found, indent=2)
        else:
            say_table([*_rows(found)])
        return 0

    return ask_gateway(options, ask)


async def _ask(gateway: GatewayClient) -> Status:
    key = await gateway.request("GET", "/admin/keys/self")
    health = await gateway.request("GET", "/health")
    document = await gateway.request("GET", "/openapi.json")
    active = await _visible(gateway, "/admin/models/active")
    line = await _visible(gateway, "/debug/queue")
    in_memory, problem, is_up = None, None, False
    try:
        is_up = await _visible(gateway, "/health/ready") is not None
        in_memory = await _in_memory(gateway)
    except RequestFailed as exc:
        if exc.exit_status != EX_UNAVAILABLE:
            raise
        problem = str(exc)
    return Status(
        url=gateway.url,
        version=document["info"]["version"],
        uptime_seconds=health["uptime"],
        lm_studio="down" if problem else "up" if is_up or in_memory is not None else None,
        lm_studio_problem=problem,
        active_models=active and _names_of_active(active),
        in_memory=in_memory,
        running=None if line is None else len(line["running"]),
        waiting=None if line is None else len(line["waiting"]),
        key=key,
    )


async def _visible(gateway: GatewayClient, path: str) -> Any:
    """Return the response, or None if the key lacks the scope for it."""
    try:
        return await gateway.request("GET", path)
    except RequestFailed as exc:
        if exc.exit_status != EX_NOPERM:
            raise
        return None


async def _in_memory(gateway: GatewayClient) -> list[str] | None:
    """Return the identifiers of the models in memory; with the scope `inference` alone, those it may use."""
    if (models := await _visible(gateway, "/admin/models")) is not None:
        return [model["identifier"] for model in models["loaded"]]
    if (listed := await _visible(gateway, "/api/v0/models")) is not None:
        return [model["id"] for model in listed["data"] if model["state"] == "loaded"]
    return None


def _names_of_active(active: Json) -> dict[str, str | None]:
    pairs = (("llm", active["activeModel"]), ("embedding", active["activeEmbeddingModel"]))
    return {kind: model and (model["instanceId"] or model["modelKey"]) for kind, model in pairs}


def _rows(found: Status) -> Iterator[tuple[str, str]]:
    yield "Gateway", f"{found.url}, version {found.version}, up for {span(found.uptime_seconds)}"
    yield (
        "LM Studio",
        found.lm_studio_problem or ("answers" if found.lm_studio else _HIDDEN.format("observe")),
    )
    yield "Active", _active(found.active_models)
    if found.lm_studio == "up":
        yield "In memory", _HIDDEN.format("models") if found.in_memory is None else _listed(found.in_memory)
    if found.running is None or found.waiting is None:
        yield "Requests", _HIDDEN.format("observe")
    else:
        yield "Requests", f"{found.running:,} running, {found.waiting:,} waiting"
    key = found.key
    yield "Key", key["key"]["name"]
    for about, value in describe(key["key"], key["used"], key["left"], unix_time()):
        if about in _ABOUT_KEY:
            yield about.capitalize(), value


def _active(models: dict[str, str | None] | None) -> str:
    if models is None:
        return _HIDDEN.format("models")
    return _listed([f"{name} ({kind})" for kind, name in models.items() if name])


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"
