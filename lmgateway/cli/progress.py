"""The progress of a load: a bar on a terminal, otherwise a line for each quarter."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from .gateway_client import GatewayClient
from .output import rewrite_line, say

BAR_WIDTH = 30
# How long to wait for the last events after the load's response.
LAST_EVENTS_SECONDS = 1


class Progress:
    """Shows the progress events of one load. Losing the event stream doesn't fail the load."""

    def __init__(
        self, gateway: GatewayClient, model: str, instance_id: str | None, box: str | None = None
    ) -> None:
        """Without a box, all boxes' loads of this name are meant."""
        self._gateway = gateway
        self._box = box
        self._names = (model, instance_id)
        self._listening = asyncio.Event()
        self._is_terminal = sys.stderr.isatty()
        self._quarter = 0
        self._has_begun = False

    @asynccontextmanager
    async def shown(self) -> AsyncIterator[None]:
        """Show the progress while the block runs."""
        following = asyncio.create_task(self._follow())
        listening = asyncio.create_task(self._listening.wait())
        await asyncio.wait([following, listening], return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        try:
            yield
        finally:
            if self._has_begun:
                await asyncio.wait([following], timeout=LAST_EVENTS_SECONDS)
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            if self._has_begun and self._is_terminal:
                say(error=True)

    async def _follow(self) -> None:
        events = self._gateway.events("model_load_progress", "model_load_complete", "error")
        async for name, event, _ in events:
            self._listening.set()
            if name == "connected" or event.get("modelKey") != self._names[0]:
                continue
            if self._box not in {None, event.get("box", self._box)}:
                continue
            if name != "model_load_progress":
                return
            if event["instanceId"] == self._names[1]:
                self._show(event)

    def _show(self, event: dict[str, Any]) -> None:
        self._has_begun = True
        model, fraction = self._names[0], event["progressRaw"]
        if self._is_terminal:
            bar = "#" * round(fraction * BAR_WIDTH)
            rewrite_line(f"{model} [{bar:<{BAR_WIDTH}}] {event['progress']:5.1f} %")
        elif int(fraction * 4) > self._quarter:
            self._quarter = int(fraction * 4)
            say(f"{model} {event['progress']:.0f} %", error=True)
