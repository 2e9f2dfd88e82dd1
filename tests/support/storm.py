"""Clients of every API that come at once, and leave or are cancelled in every state of a request."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Literal, NamedTuple

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Handler

from lmgateway.simulator import Pace, Simulator
from lmgateway.web.state import ACTIVITY, SCHEDULER
from tests.support.gateway import Gateway
from tests.support.keys import OWNER, bearer

LLM, EMBEDDING = "qwen2.5-7b-instruct", "text-embedding-nomic-embed-text-v1.5"
CHATS = ("/v1/chat/completions", "/api/v0/chat/completions", "/v1/messages")
COMPLETIONS = ("/v1/completions", "/api/v0/completions")
INPUTS = ("/v1/responses", "/api/v1/chat")
EMBEDDINGS = ("/v1/embeddings", "/api/v0/embeddings")
GENERATING = (*CHATS, *COMPLETIONS, *INPUTS)
PATHS = (*GENERATING, *EMBEDDINGS)
State = Literal["line", "prompt", "generating"]
STATES: tuple[State, ...] = ("line", "prompt", "generating")


class Fate(NamedTuple):
    """What ends a request, once it is in this state; one that is never in it is answered."""

    state: State | None = None
    by: Literal["client", "admin"] = "client"


# Half of the requests are answered.
FATES = (*[Fate(state, by) for state in STATES for by in ("client", "client", "admin")], *[Fate()] * 9)


def body(path: str, random: Random, *, stream: bool) -> dict[str, object]:
    """Return a request of this API."""
    words = f"Answer in 100 words. {'Please. ' * random.randrange(8)}"
    limit = random.randrange(2, 14)
    if path in EMBEDDINGS:
        return {"model": EMBEDDING, "input": words}
    if path in CHATS:
        content = {"messages": [{"role": "user", "content": words}]}
        return {"model": LLM, **content, "max_tokens": limit, "stream": stream}
    if path in COMPLETIONS:
        return {"model": LLM, "prompt": words, "max_tokens": limit, "stream": stream}
    return {"model": LLM, "input": words, "max_output_tokens": limit, "stream": stream}


class RecordingSimulator(Simulator):
    """Both models are in memory. `arrived` counts what arrives, by the id that the client sent."""

    def __init__(self) -> None:
        super().__init__(pace=Pace(prompt_tokens_per_second=1000, tokens_per_second=400))
        self.arrived: Counter[str] = Counter()
        self.load(LLM)
        self.load(EMBEDDING)

    def make_app(self) -> web.Application:
        @web.middleware
        async def record(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path in PATHS and (request_id := request.headers.get("X-Request-Id")):
                self.arrived[request_id] += 1
            return await handler(request)

        app = super().make_app()
        app.middlewares.append(record)
        return app


@dataclass
class Storm:
    """`statuses` are those of the answers; `ended` counts the requests that were ended, by fate.

    `most_leases` is the most that one instance had at any look.
    """

    gateway: Gateway
    keys: Mapping[str, str]
    random: Random
    statuses: Counter[int] = field(default_factory=Counter)
    ended: Counter[Fate] = field(default_factory=Counter)
    answered: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    most_leases: int = 0
    over: int = 0
    _awaited: dict[str, tuple[State, asyncio.Event]] = field(default_factory=dict)

    async def rage(self, requests: int, at_once: int, acts: Sequence[Callable[[], Awaitable[None]]]) -> None:
        """Send so many requests, and do these things at even distances meanwhile."""
        waiting = iter(acts)
        fates = [FATES[number % len(FATES)] for number in range(requests)]
        self.random.shuffle(fates)
        room = asyncio.Semaphore(at_once)
        async with self._watching(), asyncio.TaskGroup() as group:
            for number, end in enumerate(fates):
                await room.acquire()
                group.create_task(self._one(f"storm-{number}", end)).add_done_callback(
                    lambda _: room.release()
                )
                if (number + 1) % (requests // (len(acts) + 1)) == 0 and (act := next(waiting, None)):
                    await act()

    async def _one(self, request_id: str, end: Fate) -> None:
        asking = asyncio.create_task(self._ask(request_id, end))
        reached = asyncio.Event()
        if end.state is not None:
            self._awaited[request_id] = (end.state, reached)
            watching = asyncio.create_task(reached.wait())
            await asyncio.wait({asking, watching}, return_when=asyncio.FIRST_COMPLETED)
            watching.cancel()
            self._awaited.pop(request_id, None)
            if reached.is_set() and not asking.done():
                self.ended[end] += 1
                await self._end(asking, request_id, end)
        with suppress(asyncio.CancelledError, aiohttp.ClientPayloadError):
            await asking
        self.over += 1

    async def _end(self, asking: asyncio.Task[None], request_id: str, end: Fate) -> None:
        if end.by == "client":
            asking.cancel()
            return
        url = self.gateway.url(f"/debug/requests/{request_id}")
        async with self.gateway.client.delete(url, headers=bearer(OWNER)) as response:
            assert response.status in {200, 404}, await response.text()

    async def _ask(self, request_id: str, end: Fate) -> None:
        random = self.random
        # Only a stream shows its tokens.
        is_stream = end.state == "generating" or random.random() < 0.5
        path = random.choice(GENERATING if end.state == "generating" else PATHS)
        headers = {**bearer(random.choice(list(self.keys.values()))), "X-Request-Id": request_id}
        headers["X-User"] = random.choice(["", "mia", "leo"])
        if random.random() < 0.2:
            headers["X-Priority"] = "background"
        url, content = self.gateway.url(path), body(path, random, stream=is_stream)
        async with self.gateway.client.post(url, json=content, headers=headers) as response:
            self.statuses[response.status] += 1
            if response.status == 429:
                self.refused.append(request_id)
            await response.read()
            if response.status == 200:
                self.answered.append(request_id)

    @asynccontextmanager
    async def _watching(self) -> AsyncIterator[None]:
        """Look at every request's state while inside."""
        looking = asyncio.create_task(self._look())
        try:
            yield
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def _look(self) -> None:
        line, activity = self.gateway.app[SCHEDULER].line, self.gateway.app[ACTIVITY]
        while True:
            for one in line.machines.instances.values():
                self.most_leases = max(self.most_leases, len(one.leases))
            leases = {ticket.request_id for ticket in line.running}
            states: dict[str, State] = {one.ticket.request_id: "line" for one in line.waiting}
            for exchange in activity.running:
                if exchange.request_id in leases:
                    has_token = exchange.first_token is not None
                    states[exchange.request_id] = "generating" if has_token else "prompt"
            for request_id, (state, reached) in self._awaited.items():
                if states.get(request_id) == state:
                    reached.set()
            await asyncio.sleep(0.001)
