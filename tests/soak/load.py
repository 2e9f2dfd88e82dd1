"""The kinds of traffic, how often each comes, and what became of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

import aiohttp

from . import asking, hostility, operating, sending
from .client import Broke, Client, Unexpected
from .processes import Studio

Kind = Callable[[Client], Awaitable[str]]

WORKERS = 24
PAUSE_SECONDS = 0.3
# No request takes longer, or it hangs.
LONGEST_SECONDS = 60
KEPT_UNEXPECTED = 50
LM_STUDIO_WAS_DOWN = "LM Studio was down"

KINDS: dict[str, tuple[int, Kind]] = {
    "stream": (30, asking.read_stream),
    "plain answer": (10, asking.read_plain),
    "embeddings": (8, asking.embed),
    "stream, left early": (8, asking.leave_before_first_token),
    "stream, left midway": (10, asking.leave_in_the_middle),
    "stream, cancelled": (2, asking.be_cancelled),
    "upload": (3, sending.upload),
    "upload, left midway": (3, sending.upload_half),
    "upload, too large": (2, sending.upload_too_much),
    "upload, no key": (2, sending.upload_without_key),
    "pipelined": (4, sending.pipeline),
    "malformed": (5, sending.malformed),
    "events, read": (3, operating.read_events),
    "events, not read": (1, operating.stop_reading_events),
    "look": (14, operating.look),
    "models": (2, operating.list_models),
    "activate": (3, operating.activate),
    "load": (2, operating.load_and_unload),
    "load, refused": (1, operating.load_in_vain),
    "load, left": (1, operating.leave_a_load),
    "damaged answer": (30, hostility.damaged_answer),
    "damaged load": (2, hostility.damaged_load),
    "damaged request": (10, hostility.damaged_request),
}
"""By name: how often, among all others, and what is done. Each returns its outcome in a word or two."""


@dataclass
class Results:
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)
    unexpected_total: int = 0

    def add_unexpected(self, kind: str, what: str) -> None:
        self.outcomes[kind, "UNEXPECTED"] += 1
        self.unexpected_total += 1
        if len(self.unexpected) < KEPT_UNEXPECTED:
            self.unexpected.append(f"{kind}: {what}")


class Load:
    """Workers, each of which does one kind of traffic after another until it is cancelled."""

    def __init__(self, port: int, studio: Studio, seed: int) -> None:
        self.results = Results()
        self._port = port
        self._studio = studio
        self._seed = seed

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """At the end everybody hangs up."""
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)
        ) as session:
            workers = [
                asyncio.create_task(self._work(self._client(session, number))) for number in range(WORKERS)
            ]
            try:
                yield
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.wait(workers)
        for worker in workers:
            if not worker.cancelled():
                worker.result()  # raises what ended it too early

    def _client(self, session: aiohttp.ClientSession, number: int) -> Client:
        return Client(session, self._port, Random(f"{self._seed}/{number}"), str(self._seed))

    async def _work(self, client: Client) -> None:
        names, weights = list(KINDS), [weight for weight, _ in KINDS.values()]
        while True:
            await asyncio.sleep(client.random.expovariate(1 / PAUSE_SECONDS))
            await self._do(client.random.choices(names, weights)[0], client)

    async def _do(self, name: str, client: Client) -> None:
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                outcome = await KINDS[name][1](client)
        except (Broke, aiohttp.ClientPayloadError) as exc:
            if not self._studio.was_down_since(began):
                self.results.add_unexpected(name, f"though LM Studio was there: {exc!r}")
                return
            outcome = LM_STUDIO_WAS_DOWN
        except TimeoutError:
            self.results.add_unexpected(name, f"no end after {LONGEST_SECONDS} s")
            return
        except (Unexpected, aiohttp.ClientError, OSError, ValueError, LookupError) as exc:
            self.results.add_unexpected(name, repr(exc))
            return
        self.results.outcomes[name, outcome] += 1
