"""Requests of several kinds at once, and what became of each."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.support.separate_boxes import EMBEDDING, LLM, SeparateBoxes

# How long an answer may be silent that has begun. A frozen box is down in less: after two greetings, which
# begin 10 s apart and take 2 s each.
SILENCE_SECONDS = 30
# No request takes longer, or it hangs: it waits for a slot, is silent, and is answered.
LONGEST_SECONDS = SILENCE_SECONDS + 15.0


@dataclass
class Outcome:
    """`first_byte_at` is when the first byte of LM Studio's answer came, in the machine's monotonic seconds.

    `problem` is None if the answer is complete.
    """

    request_id: str
    began_at: float
    first_byte_at: float | None = None
    ended_at: float = 0.0
    problem: str | None = None

    @property
    def seconds(self) -> float:
        return self.ended_at - self.began_at


class Incomplete(Exception):
    """An answer that isn't what was requested."""


@dataclass
class MixedLoad:
    """Each request is a new conversation. `tokens` is the length of an answer."""

    house: SeparateBoxes
    tokens: int
    outcomes: list[Outcome] = field(default_factory=list)
    sent: int = 0

    async def run(
        self, requests: int, at_once: int, midway: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Send so many requests; call `midway` when a third of them were sent, beside the others."""
        async with asyncio.TaskGroup() as group:
            room = asyncio.Semaphore(at_once)
            for number in range(requests):
                await room.acquire()
                group.create_task(self._one()).add_done_callback(lambda _: room.release())
                if number == requests // 3 and midway is not None:
                    await midway()

    async def throughput(self, at_once: int, warm_up: float, seconds: float) -> float:
        """Return the requests a second that are answered, by clients that send the next one at once."""

        async def client() -> None:
            while True:
                await self._one()

        clients = [asyncio.create_task(client()) for _ in range(at_once)]
        await asyncio.sleep(warm_up)
        before = len(self.outcomes)
        await asyncio.sleep(seconds)
        after = len(self.outcomes)
        for one in clients:
            one.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        return (after - before) / seconds

    async def _one(self) -> None:
        number = self.sent
        self.sent += 1
        outcome = Outcome(f"load-{number}", time.monotonic())
        send, path, body = self._kind(number)
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                await send(outcome, path, body)
        except (aiohttp.ClientError, Incomplete) as exc:
            outcome.problem = f"{type(exc).__name__}: {exc}"
        except TimeoutError:
            outcome.problem = "hangs"
        outcome.ended_at = time.monotonic()
        self.outcomes.append(outcome)

    def _kind(self, number: int) -> tuple[Callable[..., Awaitable[None]], str, dict[str, Any]]:
        question = f"Question {number}: answer in {10 * self.tokens} words."
        messages = [{"role": "user", "content": question}]
        chat = {"model": LLM, "messages": messages, "max_tokens": self.tokens}
        streamed = {**chat, "stream": True}
        match number % 6:
            case 0 | 1:
                return self._stream, "/v1/chat/completions", streamed
            case 2:
                return self._stream, "/api/v0/chat/completions", streamed
            case 3:
                return self._plain, "/v1/chat/completions", chat
            case 4:
                return self._plain, "/v1/messages", chat
            case _:
                return self._plain, "/v1/embeddings", {"model": EMBEDDING, "input": question}

    async def _plain(self, outcome: Outcome, path: str, body: dict[str, Any]) -> None:
        async with self._post(outcome, path, body) as response:
            outcome.first_byte_at = time.monotonic()
            text = await response.read()
            if response.status != 200 or not json.loads(text):
                raise Incomplete(f"{response.status} {text[:200]!r}")

    async def _stream(self, outcome: Outcome, path: str, body: dict[str, Any]) -> None:
        events: list[bytes] = []
        async with self._post(outcome, path, body) as response:
            if response.status != 200:
                raise Incomplete(f"{response.status} {(await response.read())[:200]!r}")
            # A keep-alive of the gateway is a comment.
            async for line in response.content:
                if line.startswith(b"data: "):
                    outcome.first_byte_at = outcome.first_byte_at or time.monotonic()
                    events.append(line.removeprefix(b"data: ").strip())
        if not events or events[-1] != b"[DONE]" or any(b'"error"' in event for event in events):
            raise Incomplete(f"{len(events)} events, the last one {events[-1:]}")
        texts = [
            choice["delta"]["content"]
            for event in events[:-1]
            for choice in json.loads(event)["choices"]
            if choice["delta"].get("content")
        ]
        if len(texts) != self.tokens:
            raise Incomplete(f"{len(texts)} tokens instead of {self.tokens}")

    def _post(self, outcome: Outcome, path: str, body: dict[str, Any]) -> Any:
        headers = {"X-Request-Id": outcome.request_id}
        return self.house.client.post(f"{self.house.gateway.base_url}{path}", json=body, headers=headers)
