"""The commands that manage the models of a running gateway."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shlex
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from .client import GatewayClient, gateway_client
from .failures import EX_DATAERR, EX_USAGE, RequestFailed
from .options import load_settings
from .progress import Progress
from .urls import own_url

# LM Studio numbers what it has a model of that name for already.
_NUMBERED = re.compile(r":[0-9]+\Z")


def listing(options: argparse.Namespace) -> int:
    async def ask(gateway: GatewayClient) -> int:
        found = await gateway.request("GET", "/admin/models")
        if options.json:
            return _print_json(found)
        active = await gateway.request("GET", "/admin/models/active")
        _print_table([("", "MODEL", "TYPE", "SIZE", "CONTEXT"), *_rows(found, active)])
        return 0

    return ask_gateway(options, ask)


def _rows(found: dict[str, Any], active: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield a line for each instance, for each active model that has none, and for each other model."""
    for model in found["loaded"]:
        mark, context = "active" if model["active"] else "loaded", str(model["contextLength"] or "")
        yield mark, model["identifier"], model["type"], _size(model["size"]), context
    shown = {model["modelKey"] for model in found["loaded"]}
    answers = {model["type"] for model in found["loaded"] if model["active"]}
    for kind, one in (("llm", active["activeModel"]), ("embedding", active["activeEmbeddingModel"])):
        if one is not None and kind not in answers:
            yield "active, not loaded", one["instanceId"] or one["modelKey"], kind, "", ""
            # By another name than its key's, that one is still to be shown.
            if one["instanceId"] is None:
                shown.add(one["modelKey"])
    for model in found["downloaded"]:
        if model["modelKey"] not in shown:
            yield "", model["modelKey"], model["type"], _size(model["size"]), ""


def load(options: argparse.Namespace) -> int:
    body = _body(options, ttlSeconds=options.ttl, activate=not options.no_activate)
    if options.settings:
        body["loadConfig"] = _settings(options.settings)

    async def ask(gateway: GatewayClient) -> int:
        progress = Progress(gateway, options.model, options.id)
        try:
            async with progress.shown():
                answer = await gateway.request("POST", "/admin/models/load", body)
        except asyncio.CancelledError:
            # Ctrl-C
            print(f"A load that has begun goes on; `{_command_to_cancel(options)}` ends it.", file=sys.stderr)
            raise
        for ignored in answer["ignored"]:
            print(f"LM Studio has no load setting {ignored.removeprefix('loadConfig.')}.", file=sys.stderr)
        if answer["identifier"] not in {options.id, options.model} and _NUMBERED.search(answer["identifier"]):
            print(f"{options.model} was loaded already, and is in memory once more now.", file=sys.stderr)
        return _print_answer(options, answer)

    return ask_gateway(options, ask)


def cancel(options: argparse.Namespace) -> int:
    return _post(options, "/admin/models/load/cancel")


def unload(options: argparse.Namespace) -> int:
    return _post(options, "/admin/models/unload")


def activate(options: argparse.Namespace) -> int:
    return _post(options, "/admin/models/activate")


def _post(options: argparse.Namespace, path: str) -> int:
    async def ask(gateway: GatewayClient) -> int:
        return _print_answer(options, await gateway.request("POST", path, _body(options)))

    return ask_gateway(options, ask)


def deactivate(options: argparse.Namespace) -> int:
    async def ask(gateway: GatewayClient) -> int:
        body = {} if options.type is None else {"type": options.type}
        active = await gateway.request("POST", "/admin/models/deactivate", body)
        if options.json:
            return _print_json(active)
        print(f"No {options.type or 'llm or embedding'} model is active: requests have to name one.")
        return 0

    return ask_gateway(options, ask)


def ask_gateway(options: argparse.Namespace, ask: Callable[[GatewayClient], Awaitable[int]]) -> int:
    """Run `ask` with the gateway that the options name, or that is configured here."""
    config = load_settings(options).config
    certificate = "" if options.url else config.server.tls_cert
    url = options.url or own_url(config)

    async def run() -> int:
        async with gateway_client(url, options.key or config.auth.api_key, certificate) as gateway:
            return await ask(gateway)

    return asyncio.run(run())


def _command_to_cancel(options: argparse.Namespace) -> str:
    # Without the key, which would be seen in more places.
    named = {"--id": options.id, "--url": options.url, "--config": options.config}
    words = [word for name, value in named.items() if value is not None for word in (name, str(value))]
    settings = (f"--set={setting}" for setting in options.set)
    return shlex.join(["lmgateway", "cancel", options.model, *words, *settings])


def _body(options: argparse.Namespace, **fields: object) -> dict[str, object]:
    named = {"modelKey": options.model, "instanceId": options.id, **fields}
    return {name: value for name, value in named.items() if value is not None}


def _settings(items: list[str]) -> dict[str, Any]:
    """Return `contextLength=8192`, `gpu.ratio=0.5` and so on as JSON would have them."""
    config: dict[str, Any] = {}
    for item in items:
        path, equals, text = item.partition("=")
        if not equals:
            raise RequestFailed(f"--with {item}: write NAME=VALUE, such as contextLength=8192", EX_USAGE)
        *tables, name = path.split(".")
        table = config
        for step in tables:
            table = table.setdefault(step, {})
            if not isinstance(table, dict):
                raise RequestFailed(f"--with {item}: {step} has a value of its own already", EX_DATAERR)
        try:
            table[name] = json.loads(text)
        except json.JSONDecodeError:
            table[name] = text
    return config


def _print_answer(options: argparse.Namespace, answer: dict[str, Any]) -> int:
    if options.json:
        return _print_json(answer)
    print(answer["message"])
    return 0


def _print_json(answer: object) -> int:
    print(json.dumps(answer, indent=2, ensure_ascii=False))
    return 0


def _print_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _size(size: int | None) -> str:
    if size is None:
        return ""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
