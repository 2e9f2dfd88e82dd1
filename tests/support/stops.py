"""A pace that is instant but for the places where a test stops it."""

from __future__ import annotations

import asyncio
from math import inf

from lmgateway.simulator import Pace
from tests.support.waiting import PATIENCE_SECONDS


class Stops(Pace):
    """The places are `prompt`, `token` (each but an answer's first), `unload`, `free`, and `load KEY`."""

    def __init__(self) -> None:
        super().__init__(prompt_tokens_per_second=inf, tokens_per_second=inf, load_seconds=0)
        self._stopped: dict[str, asyncio.Event] = {}
        self._reached: dict[str, asyncio.Event] = {}

    def stop(self, *places: str) -> None:
        for place in places:
            self._stopped[place] = asyncio.Event()
            self._reached[place] = asyncio.Event()

    async def reached(self, place: str) -> None:
        """Wait until something is stopped at this place."""
        await asyncio.wait_for(self._reached[place].wait(), PATIENCE_SECONDS)

    def go_on(self, *places: str) -> None:
        """Let everything go on that was stopped at these places; at all of them if none is named."""
        for place in places or tuple(self._stopped):
            self._stopped.pop(place).set()

    async def prompt(self, tokens: int, speed: float = 1.0) -> None:
        await self._pass("prompt")
        await super().prompt(tokens, speed)

    async def token(self, speed: float = 1.0) -> None:
        await self._pass("token")
        await super().token(speed)

    async def load(self, fraction: float, model_key: str) -> None:
        await self._pass(f"load {model_key}")
        await super().load(fraction, model_key)

    async def unload(self, seconds: float) -> None:
        await self._pass("unload")
        await super().unload(seconds)

    async def free(self, seconds: float) -> None:
        await self._pass("free")
        await super().free(seconds)

    async def _pass(self, place: str) -> None:
        if (stopped := self._stopped.get(place)) is not None:
            self._reached[place].set()
            await stopped.wait()
