"""The ledger: how many generations began, finished and were aborted, and their tokens."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec


class Tally(msgspec.Struct):
    """The counts of one API, or of all. Tokens of aborted generations are included."""

    begun: int = 0
    finished: int = 0
    aborted: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Abort(msgspec.Struct, frozen=True):
    """A generation that was aborted: its client disconnected or cancelled it, or its model was unloaded."""

    api: str
    at: float
    """`time.monotonic()`, which processes of one machine share: another process can measure latency by it."""


class Entry:
    """The entry of a running generation."""

    def __init__(self, tallies: tuple[Tally, ...]) -> None:
        self._tallies = tallies

    def read_prompt(self, tokens: int) -> None:
        for tally in self._tallies:
            tally.prompt_tokens += tokens

    def produced_token(self) -> None:
        for tally in self._tallies:
            tally.completion_tokens += 1


class Ledger:
    """Counts every generation and embedding once, by the API that requested it."""

    def __init__(self) -> None:
        self.total = Tally()
        self.apis: dict[str, Tally] = {}
        self.aborts: list[Abort] = []
        self._waiting: dict[asyncio.Future[None], Tally] = {}

    @contextmanager
    def generation(self, api: str) -> Iterator[Entry]:
        """Count a generation: begun on entry, finished on a normal exit, aborted on any exception."""
        tallies = (self.total, self.apis.setdefault(api, Tally()))
        for tally in tallies:
            tally.begun += 1
        self._wake()
        try:
            yield Entry(tallies)
        except BaseException:
            for tally in tallies:
                tally.aborted += 1
            self.aborts.append(Abort(api, time.monotonic()))
            raise
        else:
            for tally in tallies:
                tally.finished += 1
        finally:
            self._wake()

    async def wait(self, *, begun: int = 0, finished: int = 0, aborted: int = 0) -> None:
        """Wait until each count, over all APIs, has been reached."""
        target = Tally(begun, finished, aborted)
        if self._reached(target):
            return
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[reached] = target
        try:
            await reached
        finally:
            del self._waiting[reached]

    def _wake(self) -> None:
        for reached, target in self._waiting.items():
            if not reached.done() and self._reached(target):
                reached.set_result(None)

    def _reached(self, target: Tally) -> bool:
        total = self.total
        return (
            total.begun >= target.begun
            and total.finished >= target.finished
            and total.aborted >= target.aborted
        )
