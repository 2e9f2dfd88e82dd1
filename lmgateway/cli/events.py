"""`lmgateway events`: follows the event stream in a terminal."""

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
                    print(f"lmgateway: {exc} Retrying.", file=sys.stderr, flush=True)
                is_reported = True
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
    # LM Studio's log may contain control characters, which would act on the terminal.
    return "".join(character if character.isprintable() else " " for character in text)
