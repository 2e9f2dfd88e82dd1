"""`lmgateway queue` and `lmgateway ps`: the line before the GPU."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable

from .gateway_client import GatewayClient
from .models import ask_gateway
from .output import say_answer
from .queue_tables import Json, overview, processes
from .refreshing import show


def queue(options: argparse.Namespace) -> int:
    """Show all of the report; on a terminal it is refreshed unless --once is given."""
    return _show(options, overview, None if options.once else options.interval)


def ps(options: argparse.Namespace) -> int:
    """Show what runs and what waits once, or with --watch again and again."""
    return _show(options, processes, options.interval if options.watch else None)


def _show(options: argparse.Namespace, table: Callable[[Json], Iterable[str]], interval: float | None) -> int:
    async def ask(gateway: GatewayClient) -> int:
        if options.json:
            return say_answer(await gateway.request("GET", "/debug/queue"))

        async def lines() -> Iterable[str]:
            return table(await gateway.request("GET", "/debug/queue"))

        return await show(lines, interval=interval)

    return ask_gateway(options, ask)
