"""`lmgateway events`: follows the event stream in a terminal."""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import Any

from .failures import EX_UNAVAILABLE, RequestFailed
from .gateway_client import GatewayClient
from .models import ask_gateway
from .output import Coloured, say, say_json

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
    """Print events until Ctrl-C, and reconnect when the connection is lost."""

    async def follow(gateway: GatewayClient) -> int:
        # The first request isn't retried, because a retry doesn't help with a wrong key or address.
        await gateway.request("GET", "/debug/status")
        names = [name for item in options.type for name in item.split(",")]
        last_id: str | None = None
        is_reported = False
        while True:
            try:
                async for event in gateway.events(*names, last_id=last_id):
                    last_id, is_reported = event.id or last_id, False
                    _print(event.name, event.data, as_json=options.json)
            except RequestFailed as exc:
                if exc.exit_status != EX_UNAVAILABLE:
                    raise
                if not is_reported:
                    say(f"lmgateway: {exc} Retrying.", error=True)
                is_reported = True
            await asyncio.sleep(RECONNECT_SECONDS)

    return ask_gateway(options, follow)


def _print(name: str, data: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        say_json({"event": name, **data})
        return
    fields = [
        f"{key}={_text(value)}" for key, value in data.items() if key != "timestamp" and value is not None
    ]
    say(_text(data.get("timestamp", "")), Coloured(name, _COLOURS.get(name, _YELLOW)), *fields)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
