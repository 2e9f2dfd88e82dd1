"""The ledger: what happened in the simulated LM Studio, for tests to compare with what clients saw."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from .faults import LoadCancelled
from .load_records import Load, Origin, Unload, loop_time
from .occupancy import Occupancy


class Tally(msgspec.Struct):
    """The counts of one API, or of all. Tokens of aborted generations are included.

    `left` counts aborts from when a client's end was noticed, `aborted` from when the slot was free again.
    """

    begun: int = 0
    finished: int = 0
    aborted: int = 0
    left: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Abort(msgspec.Struct, frozen=True):
    """A generation that was aborted: its client left or cancelled it, or its instance ended it.

    Times are `time.monotonic()`, which processes of one machine share: another process can measure latency.
    """

    api: str
    left_at: float
    """When the client's end was noticed."""
    at: float
    """When the slot was free again: later, if a prompt was being processed."""


class InstanceRecord:
    """An instance, which may be gone by now, and how full it was."""

    def __init__(self, identifier: str, model: str, loaded_by: Origin) -> None:
        self.identifier = identifier
        self.model = model
        self.loaded_by = loaded_by
        self.occupancy = Occupancy()


class Entry:
    """The entry of a running generation."""

    def __init__(self, ledger: "Ledger", api: str, tallies: tuple[Tally, ...]) -> None:
        self._ledger = ledger
        self._api = api
        self._tallies = tallies
        self._left_at = 0.0

    def read_prompt(self, tokens: int) -> None:
        for tally in self._tallies:
            tally.prompt_tokens += tokens

    def produced_token(self) -> None:
        for tally in self._tallies:
            tally.completion_tokens += 1

    def finish(self) -> None:
        for tally in self._tallies:
            tally.finished += 1
        self._ledger.wake()

    def leave(self) -> None:
        """The client's end was noticed; `abort()` is to follow when the slot is free."""
        for tally in self._tallies:
            tally.left += 1
        self._left_at = time.monotonic()
        self._ledger.wake()

    def abort(self) -> None:
        for tally in self._tallies:
            tally.aborted += 1
        self._ledger.aborts.append(Abort(self._api, self._left_at, time.monotonic()))
        self._ledger.wake()


class Ledger:
    """Counts every generation and embedding once, by the API that requested it, and where it ran."""

    def __init__(self) -> None:
        self.total = Tally()
        self.apis: dict[str, Tally] = {}
        self.aborts: list[Abort] = []
        self.occupancy = Occupancy()
        self.models: dict[str, Occupancy] = {}
        self.instances: list[InstanceRecord] = []
        self.loads: list[Load] = []
        self.unloads: list[Unload] = []
        self._waiting: dict[asyncio.Future[None], Callable[[], object]] = {}

    def begin(self, api: str) -> Entry:
        """Count a generation as begun. The entry is to be finished or aborted once."""
        tallies = (self.total, self.apis.setdefault(api, Tally()))
        for tally in tallies:
            tally.begun += 1
        self.wake()
        return Entry(self, api, tallies)

    @contextmanager
    def generation(self, api: str) -> Iterator[Entry]:
        """Count a generation: begun on entry, finished on a normal exit, aborted on any exception."""
        entry = self.begin(api)
        try:
            yield entry
        except BaseException:
            entry.leave()
            entry.abort()
            raise
        entry.finish()

    @contextmanager
    def load(self, model: str, identifier: str, loaded_by: Origin) -> Iterator[None]:
        """Record a load, which ends with the block."""
        load = Load(model, identifier, loaded_by, loop_time())
        self.loads.append(load)
        self.wake()
        try:
            yield
        except BaseException as exc:
            cancelled = isinstance(exc, (asyncio.CancelledError, LoadCancelled))
            load.outcome = "cancelled" if cancelled else "failed"
            load.error = str(exc)
            raise
        else:
            load.outcome = "loaded"
        finally:
            load.ended_at = loop_time()
            self.wake()

    def unloaded(self, unload: Unload) -> None:
        self.unloads.append(unload)
        self.wake()

    def loading_seconds(self, since: float = 0.0) -> float:
        """Return the time in which at least one load was in progress, from `since` of the loop's clock on."""
        now = loop_time()
        spans = [(load.began_at, now if load.ended_at is None else load.ended_at) for load in self.loads]
        total, covered = 0.0, since
        for began, ended in sorted(spans):
            total += max(0.0, ended - max(began, covered))
            covered = max(covered, ended)
        return total

    def loaded(self, identifier: str, model: str, loaded_by: Origin) -> Sequence[Occupancy]:
        """Record an instance, and return the counters of its requests: its own, its model's, all together."""
        record = InstanceRecord(identifier, model, loaded_by)
        self.instances.append(record)
        return (record.occupancy, self.models.setdefault(model, Occupancy()), self.occupancy)

    def report(self) -> dict[str, object]:
        """Return the ledger as JSON."""
        return {
            "total": self.total,
            "apis": self.apis,
            "aborts": self.aborts,
            "slots": self.occupancy.report(),
            "models": {model: occupancy.report() for model, occupancy in self.models.items()},
            "instances": [
                {
                    "identifier": one.identifier,
                    "model": one.model,
                    "loaded_by": one.loaded_by,
                    **one.occupancy.report(),
                }
                for one in self.instances
            ],
            "loads": self.loads,
            "unloads": self.unloads,
        }

    async def wait(self, *, begun: int = 0, finished: int = 0, left: int = 0, aborted: int = 0) -> None:
        """Wait until each count, over all APIs, has been reached."""
        target = Tally(begun, finished, aborted, left)
        await self.until(lambda: self._reached(target))

    async def until(self, happened: Callable[[], object]) -> None:
        """Wait until this is true, after any entry of the ledger."""
        if happened():
            return
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[reached] = happened
        try:
            await reached
        finally:
            del self._waiting[reached]

    def wake(self) -> None:
        """Wake those that wait for what has happened."""
        for reached, happened in self._waiting.items():
            if not reached.done() and happened():
                reached.set_result(None)

    def _reached(self, target: Tally) -> bool:
        total = self.total
        return (
            total.begun >= target.begun
            and total.finished >= target.finished
            and total.left >= target.left
            and total.aborted >= target.aborted
        )
