"""A folder of logs that a test writes to, and the events of the follower that reads it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from lmgateway.boxes.log.follower import LogFollower
from lmgateway.boxes.log.publisher import Publisher
from lmgateway.observe.event_stream import Events
from tests.support.waiting import until

STAMP = "[2025-11-30 20:33:33][INFO]"
FIRST, SECOND, TENTH = ("2025-11/2025-11-30.1.log", "2025-11/2025-11-30.2.log", "2025-11/2025-11-30.10.log")
POLL_SECONDS = 0.01
THREAD = "lmstudio-log"


class Published:
    """`events` are names and fields in order, `missed` counts lost ones."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.missed = 0

    @property
    def messages(self) -> list[str]:
        return [fields["message"] for name, fields in self.events if name == "debug_log"]

    async def receives(self, *messages: str) -> None:
        """Wait for as many lines, compare and forget them."""
        await until(lambda: len(self.messages) >= len(messages))
        assert self.messages == list(messages)
        self.events.clear()

    @asynccontextmanager
    async def by(
        self, work: Callable[[Publisher], Coroutine[Any, Any, None]]
    ) -> AsyncIterator[asyncio.Task[None]]:
        """Collect what this work publishes until the block's end, which cancels it."""
        events = Events()
        with events.subscribe() as subscription:

            async def listen() -> None:
                while (batch := await subscription.next()) is not None:
                    self.missed += subscription.take_missed()
                    self.events += [
                        (published.name, msgspec.json.decode(published.frame.partition(b"data: ")[2]))
                        for published in batch.events
                    ]

            listening = asyncio.create_task(listen())
            task = asyncio.create_task(work(Publisher(events)))
            try:
                yield task
            finally:
                task.cancel()
                await asyncio.wait([task])
                events.close()
                await listening
            assert task.cancelled()


class Following(Published):
    """`polls` counts listings of the directory."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory
        self.polls = 0

    def write(self, name: str, text: str, mode: str = "a") -> None:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open(mode, encoding="utf-8") as file:
            file.write(text)

    def lines(self, name: str, *messages: object, mode: str = "a") -> None:
        self.write(name, "".join(f"{STAMP} {message}\n" for message in messages), mode)

    async def polled(self, times: int = 1) -> None:
        """Wait until the follower has polled the present files, and published nothing."""
        # The first listing from now on may belong to a poll that began before.
        enough = self.polls + 1 + times
        await until(lambda: self.polls >= enough)
        assert self.events == []

    @asynccontextmanager
    async def run(self) -> AsyncIterator[asyncio.Task[None]]:
        def follow(publisher: Publisher) -> Coroutine[Any, Any, None]:
            return LogFollower(self.directory, publisher, poll_seconds=POLL_SECONDS).run()

        async with self.by(follow) as task:
            yield task
        await until(lambda: THREAD not in {thread.name for thread in threading.enumerate()})
