"""The commands that manage the models of a running gateway."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Coroutine
from typing import Any

from .client import GatewayClient, gateway_client
from .failures import EX_DATAERR, RequestFailed
from .options import load_settings
from .progress import Progress
from .urls import own_url


def listing(options: argparse.Namespace) -> int:
    async def ask(gateway: GatewayClient) -> int:
        found = await gateway.request("GET", "/admin/models")
        if options.json:
            return _print_json(found)
        loaded = {model["modelKey"] for model in found["loaded"]}
        rows: list[tuple[str, ...]] = [("", "MODEL", "TYPE", "SIZE", "CONTEXT")]
        for model in found["loaded"]:
            mark = "active" if model["active"] else "loaded"
            name = model["identifier"]
            rows.append((mark, name, model["type"], _size(model["size"]), str(model["contextLength"] or "")))
        rows.extend(
            ("", model["modelKey"], model["type"], _size(model["size"]), "")
            for model in found["downloaded"]
            if model["modelKey"] not in loaded
        )
        _print_table(rows)
        return 0

    return ask_gateway(options, ask)


def load(options: argparse.Namespace) -> int:
    body = _body(options, ttlSeconds=options.ttl, activate=not options.no_activate)
    if options.settings:
        body["loadConfig"] = _settings(options.settings)

    async def ask(gateway: GatewayClient) -> int:
        progress = Progress(gateway, options.model, options.id)
        async with progress.shown():
            answer = await gateway.request("POST", "/admin/models/load", body)
        for ignored in answer["ignored"]:
            print(f"LM Studio has no load setting {ignored.removeprefix('loadConfig.')}.", file=sys.stderr)
        return _print_answer(options, answer)

    return ask_gateway(options, ask)


def unload(options: argparse.Namespace) -> int:
    return _post(options, "/admin/models/unload")


def activate(options: argparse.Namespace) -> int:
    return _post(options, "/admin/models/activate")


def _post(options: argparse.Namespace, path: str) -> int:
    async def ask(gateway: GatewayClient) -> int:
        return _print_answer(options, await gateway.request("POST", path, _body(options)))

    return ask_gateway(options, ask)


def ask_gateway(options: argparse.Namespace, ask: Any) -> int:
    """Run `ask` with the gateway that the options name, or that is configured here."""
    config = load_settings(options).config
    certificate = "" if options.url else config.server.tls_cert
    url = options.url or own_url(config)

    async def run() -> int:
        async with gateway_client(url, options.key or config.auth.api_key, certificate) as gateway:
            question: Coroutine[Any, Any, int] = ask(gateway)
            return await question

    return asyncio.run(run())


def _body(options: argparse.Namespace, **fields: object) -> dict[str, object]:
    named = {"modelKey": options.model, "instanceId": options.id, **fields}
    return {name: value for name, value in named.items() if value is not None}


def _settings(items: list[str]) -> dict[str, Any]:
    """Return `contextLength=8192`, `gpu.ratio=0.5` and so on as JSON would have them."""
    config: dict[str, Any] = {}
    for item in items:
        path, _, text = item.partition("=")
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
    return "" if size is None else f"{size / 1e9:.1f} GB"
