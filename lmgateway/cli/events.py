"""`lmgateway events`: what happens, in a terminal."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any

from .failures import EX_UNAVAILABLE, RequestFailed
from .gateway_client import GatewayClient
from .models import ask_gateway

RECONNECT_SECONDS = 1
_RED, _GREEN, _YELLOW, _BLUE, _GREY = "31", "32", "33", "34", "90"
_COLOURS = {
    "error": _RED,
    "lagged": _RED,
    "inference_start": _BLUE,
    "inference_complete": _GREEN,
    "connected": _GREY,
    "debug_log": _GREY,
}


def events(options: argparse.Namespace) -> int:
    """Print events until Ctrl-C; come back when the gateway does."""

    async def follow(gateway: GatewayClient) -> int:
        # Asked once without patience: a wrong key or address is no reason to wait.
        await gateway.request("GET", "/debug/status")
        names = [name for item in options.type for name in item.split(",")]
        last_id: str | None = None
        is_told = False
        while True:
            try:
                async for event in gateway.events(*names, last_id=last_id):
                    last_id, is_told = event.id or last_id, False
                    _print(event.name, event.data, as_json=options.json)
            except RequestFailed as exc:
                if exc.exit_status != EX_UNAVAILABLE:
                    raise
                if not is_told:
                    print(f"lmgateway: {exc} Trying again.", file=sys.stderr, flush=True)
                is_told = True
            await asyncio.sleep(RECONNECT_SECONDS)

    return ask_gateway(options, follow)


def _print(name: str, data: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"event": name, **data}, ensure_ascii=False), flush=True)
        return
    fields = [
        f"{key}={_brief(value)}" for key, value in data.items() if key != "timestamp" and value is not None
    ]
    shown = f"\x1b[{_COLOURS.get(name, _YELLOW)}m{name}\x1b[0m" if sys.stdout.isatty() else name
    print(data.get("timestamp", ""), shown, *fields, flush=True)


def _brief(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # What LM Studio wrote into its log may hold anything.
    return "".join(character if character.isprintable() else " " for character in text)
