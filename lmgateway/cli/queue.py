"""`lmgateway queue`: the line before the GPU, refreshed while it is looked at."""

from __future__ import annotations

import argparse
import asyncio

from .failures import EX_UNAVAILABLE, RequestFailed
from .gateway_client import GatewayClient
from .models import ask_gateway
from .output import is_terminal, say, say_answer, show_screen
from .queue_tables import overview


def queue(options: argparse.Namespace) -> int:
    """Print the report: on a terminal again and again until Ctrl-C, otherwise once."""

    async def ask(gateway: GatewayClient) -> int:
        report = await gateway.request("GET", "/debug/queue")
        if options.json:
            return say_answer(report)
        lines = [*overview(report)]
        if options.once or not is_terminal():
            for line in lines:
                say(line)
            return 0
        while True:
            show_screen(lines)
            await asyncio.sleep(options.interval)
            try:
                lines = [*overview(await gateway.request("GET", "/debug/queue"))]
            except RequestFailed as exc:
                if exc.exit_status != EX_UNAVAILABLE:
                    raise
                # Not an outdated table, which would look like a line that doesn't move.
                lines = [f"lmgateway: {exc} Retrying."]

    return ask_gateway(options, ask)
