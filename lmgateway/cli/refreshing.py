"""Tables that are refreshed on a terminal until Ctrl-C is pressed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from .failures import EX_UNAVAILABLE, RequestFailed
from .output import is_terminal, say, show_screen


async def show(lines: Callable[[], Awaitable[Iterable[str]]], *, interval: float | None) -> int:
    """Print the lines once, or with an `interval`, in seconds, refresh them on a terminal.

    Raises RequestFailed, but for an outage after the first time: its message is shown until it is over.
    """
    shown = [*await lines()]
    if interval is None or not is_terminal():
        for line in shown:
            say(line)
        return 0
    try:
        while True:
            show_screen(shown)
            await asyncio.sleep(interval)
            shown = await _next(lines)
    except asyncio.CancelledError:
        say()  # behind the ^C, for the shell's prompt
        raise


async def _next(lines: Callable[[], Awaitable[Iterable[str]]]) -> list[str]:
    try:
        return [*await lines()]
    except RequestFailed as exc:
        if exc.exit_status != EX_UNAVAILABLE:
            raise
        # Not an outdated table, which would look like a line that doesn't move.
        return [f"lmgateway: {exc} Retrying."]
