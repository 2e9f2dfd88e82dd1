"""Clients that keep so many requests outstanding, as agents and impatient apps do."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from time import monotonic

import aiohttp

MODEL, OTHER_MODEL = "qwen2.5-7b-instruct", "llama-3.2-3b-instruct"


@dataclass(frozen=True)
class Client:
    """Keeps `outstanding` requests, whose answers take the time of from half to one and a half `tokens`.

    It begins after so many seconds, and rests for `pause` seconds after each answer. After `patience` seconds
    without a whole answer it gives up and asks again. `settings` are those of its key.
    """

    key: str
    outstanding: int
    tokens: int = 8
    begins: float = 0.0
    pause: float = 0.0
    patience: float | None = None
    model: str = MODEL
    settings: Mapping[str, object] = field(default_factory=dict)


@dataclass
class Tally:
    """What the clients saw. `sent` is when each request was sent, by its user."""

    answered: Counter[str] = field(default_factory=Counter)
    gave_up: Counter[str] = field(default_factory=Counter)
    sent: dict[str, float] = field(default_factory=dict)


class Crowd:
    """Runs the clients, each with its key."""

    def __init__(self, base_url: str, keys: Mapping[str, str], seed: int) -> None:
        self.tally = Tally()
        self._base_url = base_url
        self._keys = keys
        self._rng = random.Random(seed)
        self._numbers = count()

    async def run(self, clients: tuple[Client, ...]) -> None:
        """Run until it is cancelled."""
        unlimited = aiohttp.TCPConnector(limit=0)
        patient = aiohttp.ClientTimeout(total=None)
        async with (
            aiohttp.ClientSession(connector=unlimited, timeout=patient) as session,
            asyncio.TaskGroup() as group,
        ):
            for client in clients:
                for _ in range(client.outstanding):
                    group.create_task(self._ask_for_ever(session, client))

    async def _ask_for_ever(self, session: aiohttp.ClientSession, client: Client) -> None:
        await asyncio.sleep(client.begins)
        tally = self.tally
        while True:
            try:
                async with asyncio.timeout(client.patience):
                    await self._ask(session, client)
            except TimeoutError:
                tally.gave_up[client.key] += 1
            else:
                tally.answered[client.key] += 1
                await asyncio.sleep(client.pause)

    async def _ask(self, session: aiohttp.ClientSession, client: Client) -> None:
        user = f"{client.key}/{next(self._numbers)}"
        body = {
            "model": client.model,
            "messages": [{"role": "user", "content": "Answer in 2000 words."}],
            # The first token takes no time.
            "max_tokens": 1 + round(client.tokens * self._rng.uniform(0.5, 1.5)),
            "stream": self._rng.random() < 0.5,
            "user": user,
        }
        headers = {"Authorization": f"Bearer {self._keys[client.key]}"}
        self.tally.sent[user] = monotonic()
        url = f"{self._base_url}/v1/chat/completions"
        async with session.post(url, json=body, headers=headers) as response:
            text = await response.text()
            if response.status != 200 or '"error"' in text:
                raise RuntimeError(f"a request failed: {response.status} {text[:200]}")
