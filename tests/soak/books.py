"""The gateway's own events must show that every request that began has ended, once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from .client import HEADERS

NAMES = ("inference_start", "inference_complete", "error")


@dataclass
class Books:
    """`running` are the requests that began and haven't ended; `missed` are events that can't be known."""

    started: int = 0
    completed: int = 0
    failed: int = 0
    missed: int = 0
    running: set[str] = field(default_factory=set)
    mistakes: list[str] = field(default_factory=list)

    @property
    def balanced(self) -> bool:
        return not self.running and not self.mistakes and self.started == self.completed + self.failed

    @asynccontextmanager
    async def following(
        self, session: aiohttp.ClientSession, base_url: str, headers: Mapping[str, str] = HEADERS
    ) -> AsyncIterator[None]:
        """Read events while inside."""
        url = f"{base_url}/debug/stream?types={','.join(NAMES)}"
        async with session.get(url, headers=headers, timeout=aiohttp.ClientTimeout(total=None)) as answer:
            answer.raise_for_status()
            await answer.content.readuntil(b"\n\n")
            reading = asyncio.create_task(self._read(answer.content))
            try:
                yield
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    async def _read(self, content: aiohttp.StreamReader) -> None:
        try:
            while event := await content.readuntil(b"\n\n"):
                # Not splitlines(): a text may hold a line separator that is none in an event stream.
                fields = dict(line.split(": ", 1) for line in event.decode().split("\n") if ": " in line)
                if "data" in fields:
                    self._take(fields["event"], json.loads(fields["data"]))
        except (aiohttp.ClientError, ValueError) as exc:
            self.mistakes.append(f"the events broke off: {exc!r}")
        else:
            self.mistakes.append("the events ended")

    def _take(self, name: str, data: dict[str, str]) -> None:
        if name == "lagged":
            self.missed += int(data["missed"])
        if name not in NAMES or "requestId" not in data:
            return
        request_id = data["requestId"]
        if (name == "inference_start") == (request_id in self.running):
            self.mistakes.append(f"{name} of {request_id}, out of turn")
        if name == "inference_start":
            self.started += 1
            self.running.add(request_id)
            return
        self.running.discard(request_id)
        if name == "error":
            self.failed += 1
        else:
            self.completed += 1
