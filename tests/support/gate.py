"""A pace at which a simulated model waits until a test lets it continue."""

from __future__ import annotations

import asyncio
from math import inf

from lmgateway.simulator import Pace


class Gate(Pace):
    """Instant, but holds every prompt, next token, step of a load, or unload until it is opened.

    `load_from` is the first fraction of a load that is held.
    """

    def __init__(self, *, holds: str, load_from: float = 0, tokens_per_second: float = inf) -> None:
        super().__init__(prompt_tokens_per_second=inf, tokens_per_second=tokens_per_second, load_seconds=0)
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()
        self._holds = holds
        self._load_from = load_from

    async def prompt(self, tokens: int, speed: float = 1.0) -> None:
        await self._hold("prompt")
        await super().prompt(tokens, speed)

    async def token(self, speed: float = 1.0) -> None:
        await self._hold("token")
        await super().token(speed)

    async def load(self, fraction: float, model_key: str) -> None:
        if fraction >= self._load_from:
            await self._hold("load")
        await super().load(fraction, model_key)

    async def unload(self, seconds: float) -> None:
        await self._hold("unload")
        await super().unload(seconds)

    async def _hold(self, place: str) -> None:
        if place == self._holds:
            self.reached.set()
            await self.opened.wait()
