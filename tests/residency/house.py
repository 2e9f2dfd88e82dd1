"""A gateway that decides which models are in memory, before a simulator with none, and its people."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from lmgateway.simulator import Ledger, Simulator, Switches
from tests.support.gateway import Gateway, running_gateway
from tests.support.keys import OWNER, bearer, make_key
from tests.support.stops import Stops
from tests.support.studio import Studio, running_studio
from tests.support.waiting import PATIENCE_SECONDS

LLM, OTHER, THIRD = "qwen2.5-7b-instruct", "llama-3.2-3b-instruct", "qwen2.5-vl-7b-instruct"
LARGE = "openai/gpt-oss-20b"
EMBEDDING = "text-embedding-nomic-embed-text-v1.5"
SIZES = {LLM: 4_683_073_184, OTHER: 2_019_377_440, THIRD: 6_036_493_216, LARGE: 12_109_565_632}
CHAT, EMBEDDINGS, MESSAGES = "/v1/chat/completions", "/v1/embeddings", "/v1/messages"
# A busy model is replaced as soon as it may be: no wait, and hardly any least residence.
AT_ONCE: Mapping[str, object] = {"switch_after_ms": 0, "swap_share": 0.99}
# What differs between two equal answers.
_DIFFERENT = re.compile(rb'"(id|created|system_fingerprint)": ?("[^"]*"|\d+)')


@dataclass
class Answer:
    """A request's answer, of which `begun` is set with its first byte."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    broke: bool = False

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])

    @property
    def message(self) -> str:
        return str(self.json["error"]["message"])

    @property
    def comparable(self) -> bytes:
        """The bytes, without the ids and times of the answer."""
        return _DIFFERENT.sub(b"", self.body)


@dataclass
class Asked:
    """A request that is being answered."""

    answer: Answer
    task: asyncio.Task[None]

    async def begun(self) -> None:
        await asyncio.wait_for(self.answer.begun.wait(), PATIENCE_SECONDS)

    async def ended(self) -> Answer:
        await asyncio.wait_for(asyncio.shield(self.task), PATIENCE_SECONDS)
        return self.answer

    async def leave(self) -> None:
        """Close the client's connection."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


class House:
    """`seen` has the events of the gateway since it was opened, with their names."""

    gateway: Gateway

    def __init__(self, tables: dict[str, object], studio: Studio, pace: Stops) -> None:
        self.studio, self.pace = studio, pace
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self._tables = tables
        self._gateway = AsyncExitStack()
        self._keys = {"owner": OWNER}
        self._asking: list[asyncio.Task[None]] = []
        self._news = asyncio.Event()

    @property
    def simulator(self) -> Simulator:
        return self.studio.simulator

    @property
    def ledger(self) -> Ledger:
        return self.simulator.ledger

    @property
    def in_memory(self) -> list[str]:
        return [instance.identifier for instance in self.simulator.memory.instances()]

    @property
    def loads(self) -> list[tuple[str, str, str]]:
        """Each load's model, outcome, and who asked LM Studio for it: `sdk` is the gateway."""
        return [(load.model, load.outcome, load.loaded_by) for load in self.ledger.loads]

    @property
    def unloads(self) -> list[tuple[str, str, int]]:
        """Each unload's model, why it was unloaded, and how many requests were cut off."""
        return [(one.model, one.reason, one.busy + one.queued) for one in self.ledger.unloads]

    async def know(self, *people: str, **settings: object) -> None:
        """Make named keys."""
        for name in people:
            self._keys[name] = await make_key(self.gateway, name, **settings)

    def ask(self, who: str = "owner", model: str | None = LLM, path: str = CHAT, **members: object) -> Asked:
        """Send a request, which is answered in a task."""
        answer, body = Answer(), _body(path, model) | members

        async def asking() -> None:
            url, fields = self.gateway.url(path), bearer(self._keys[who])
            # A connection of its own: one that an earlier request has left would be broken by a restart.
            async with (
                aiohttp.ClientSession() as client,
                client.post(url, json=body, headers=fields) as response,
            ):
                answer.status, answer.headers = response.status, response.headers
                try:
                    async for piece in response.content.iter_any():
                        answer.body += piece
                        answer.begun.set()
                except aiohttp.ClientPayloadError:
                    answer.broke = True
            answer.begun.set()

        task = asyncio.create_task(asking())
        self._asking.append(task)
        return Asked(answer, task)

    def stream(self, who: str = "owner", model: str | None = LLM, **members: object) -> Asked:
        return self.ask(who, model, stream=True, **members)

    async def answer(self, *args: Any, **members: Any) -> Answer:
        """Send a request as `ask` does, and return its whole answer."""
        return await self.ask(*args, **members).ended()

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Make a request of the owner's to the gateway's own API."""
        fields, more = bearer(OWNER), {} if body is None else {"json": body}
        async with self.gateway.client.request(
            method, self.gateway.url(path), headers=fields, **more
        ) as response:
            return response.status, await response.json()

    async def instances(self) -> dict[str, dict[str, Any]]:
        """What GET /debug/queue tells of each instance."""
        _, report = await self.call("GET", "/debug/queue")
        return {one["instance"]: one for one in report["instances"]}

    async def until(self, name: str, *, times: int = 1, **fields: object) -> dict[str, Any]:
        """Wait until an event of this name and these fields was seen so many times; return the last one."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                self._news.clear()
                found = self.events(name, **fields)
                if len(found) >= times:
                    return found[times - 1]
                await self._news.wait()

    def events(self, name: str, **fields: object) -> list[dict[str, Any]]:
        """The events so far of this name, with these fields."""
        return [data for called, data in self.seen if called == name and fields.items() <= data.items()]

    async def happens(self, what: Callable[[Ledger], object]) -> None:
        """Wait until this is true of LM Studio's ledger."""
        ledger = self.ledger
        await asyncio.wait_for(ledger.until(lambda: what(ledger)), PATIENCE_SECONDS)

    async def restart(self, switches: Switches | None = None) -> None:
        """Kill LM Studio, and start it again with nothing in memory."""
        await self.studio.stop()
        await self.studio.start(Simulator(pace=self.pace, switches=switches))

    async def _watch(self) -> None:
        url = self.gateway.url("/debug/stream")
        async with self.gateway.client.get(url, headers=bearer(OWNER)) as response:
            name = ""
            async for line in response.content:
                kind, _, value = line.decode().strip().partition(": ")
                if kind == "event":
                    name = value
                elif kind == "data":
                    self.seen.append((name, json.loads(value)))
                    self._news.set()

    async def open(self) -> None:
        """Start the gateway, and read its events."""
        self.gateway = await self._gateway.enter_async_context(running_gateway(self._tables))
        watching = asyncio.create_task(self._watch())
        self._gateway.push_async_callback(_end, [watching])
        await self.until("connected")

    async def close(self) -> None:
        """End the gateway and what its clients still wait for."""
        await _end(self._asking)
        await self._gateway.aclose()
        self.seen.clear()


def _body(path: str, model: str | None) -> dict[str, object]:
    body: dict[str, object] = {"input": "Hello"} if path == EMBEDDINGS else {"max_tokens": 6}
    if path != EMBEDDINGS:
        body["messages"] = [{"role": "user", "content": "Hello"}]
    return body if model is None else {"model": model, **body}


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def house(folder: Path, switches: Switches | None = None, **tables: Any) -> AsyncIterator[House]:
    """The owner has a key. `residency` and other tables are the gateway's configuration."""
    pace = Stops()
    async with running_studio(Simulator(pace=pace, switches=switches)) as studio:
        own: dict[str, Any] = {
            "auth": {"api_key": OWNER},
            "lmstudio": {"base_url": studio.base_url, "connect_pause_ms": 20},
            "server": {"state_dir": str(folder / "state")},
        }
        home = House(own | tables, studio, pace)
        await home.open()
        try:
            yield home
        finally:
            pace.go_on()
            await home.close()
