"""Who used what: the counts of requests, tokens and time, by local hour, key, model and box."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from .. import background
from ..errors import StateNotSaved
from ..observe.clock import day_start, hour_start, unix_time
from ..observe.model_labels import OTHER, ModelLabels
from ..observe.record import RequestRecord
from ..observe.served_model import ModelOf
from ..observe.usage import Counts, UsageRow
from .usage import Dimension, SavedUsage, Sum

# From the beginning of a write to that of the next one. With the time in which records are made in batches,
# that for a newer list of models and that of a commit, counts are written within a second. Those of names
# that LM Studio hasn't listed wait longer if it takes longer to list them.
WRITE_SECONDS = 0.5
LIST_SECONDS = 0.3
# While nothing can be written. Each attempt is a line in the log.
LONGEST_PAUSE_SECONDS = 60.0
DELETE_SECONDS = 86_400.0
_FOREVER = 2**62
_MINUTE = 60  # the offsets of zones are whole minutes


class Ledger:
    """The owner of the counts that aren't written yet, in front of those in the database.

    If they can't be written, they stay in memory and are written later.
    """

    def __init__(
        self, saved: SavedUsage, labels: ModelLabels, *, model_of: ModelOf, keep_days: Callable[[], int]
    ) -> None:
        """`model_of` returns the key of the model with this name, `keep_days` how many days are kept."""
        self._saved = saved
        self._labels = labels
        self._model_of = model_of
        self._keep_days = keep_days
        # By the minute of the end, key, name of the model, and box: finding the hour and the model's key
        # takes longer than counting, and is done once for all requests since the last write.
        self._latest: dict[tuple[int, str, str, str], Counts] = {}
        self._unsaved: dict[UsageRow, Counts] = {}
        # Held while the database reads or writes, so that no count is in both places, or in neither.
        self._lock = asyncio.Lock()
        self._writes = background.DetachedTasks()
        self._lists = background.DetachedTasks()
        labels.add_consumer(self.add)

    def add(self, record: RequestRecord, model: str) -> None:
        """Count a request that has ended. `model` is the name of its model in the lists of LM Studio."""
        latest = (int(record.ended) // _MINUTE, record.key, model, record.box)
        counts = self._latest.get(latest)
        if counts is None:
            counts = self._latest[latest] = Counts()
        counts.add_record(record)

    def refused(self, key: str) -> None:
        """Count a request of this key that was refused before it became an exchange."""
        self._latest.setdefault((int(unix_time()) // _MINUTE, key, "", ""), Counts()).refused += 1

    def spent(self, key: str, model: str, box: str, gpu_ms: int) -> None:
        """Count the machine's time for a request that was counted before."""
        latest = (int(unix_time()) // _MINUTE, key, model, box)
        self._latest.setdefault(latest, Counts()).gpu_ms += gpu_ms

    def _collect(self) -> dict[UsageRow, Counts]:
        """Return the rows that aren't written yet."""
        latest, self._latest = self._latest, {}
        for (minute, key, name, box), counts in latest.items():
            model = name if name == OTHER else self._model_of(name)
            row = UsageRow(hour_start(minute * _MINUTE), key, model, box)
            self._unsaved.setdefault(row, Counts()).add(counts)
        return self._unsaved

    async def usage(
        self, by: Sequence[Dimension], since: int, until: int, *, limit: int
    ) -> tuple[list[Sum], Counts]:
        """Return the sums by these dimensions, at most `limit`, and the sum of all of them.

        They are of the hours that begin from `since` until before `until`, in Unix seconds.
        """
        await self._labels.settle_by_newer_list()
        async with self._lock:
            unsaved = self._collect()
            sums = await self._saved.sums(by, since, until, unsaved, limit=limit)
            return sums, await self._saved.total(since, until, unsaved)

    async def tokens_since(self, seconds: float) -> dict[str, int]:
        """Return the tokens of each key's prompts and completions since the hour of this Unix time."""
        async with self._lock:
            since, unsaved = hour_start(seconds), self._collect()
            sums = await self._saved.sums(("key",), since, _FOREVER, unsaved, limit=-1)
        return {str(key): counts.prompt_tokens + counts.completion_tokens for (key,), counts in sums}

    async def write_regularly(self) -> None:
        """Write the counts while there are new ones, until cancelled."""
        loop, pause, retry = asyncio.get_running_loop(), WRITE_SECONDS, WRITE_SECONDS
        settling: asyncio.Task[None] | None = None
        while True:
            await asyncio.sleep(pause)
            began = loop.time()
            if not (self._latest or self._unsaved or self._labels.has_unlisted):
                pause = WRITE_SECONDS
                continue
            if settling is None or settling.done():
                settling = self._lists.start(self._labels.settle_by_newer_list())
            await asyncio.wait([settling], timeout=LIST_SECONDS)
            if await self._writes.run(self._write()):
                # What has ended during a slow commit doesn't wait for a whole pause after it.
                pause, retry = max(began + WRITE_SECONDS - loop.time(), 0.0), WRITE_SECONDS
            else:
                pause = retry = min(2 * retry, LONGEST_PAUSE_SECONDS)

    async def delete_regularly(self) -> None:
        """Delete what is older than it is to be kept, now and once a day, until cancelled."""
        while True:
            with suppress(StateNotSaved):  # logged and counted by the database
                await self._saved.delete_before(day_start(unix_time(), self._keep_days()))
            await asyncio.sleep(DELETE_SECONDS)

    async def close(self) -> None:
        """Write what isn't written yet. It is lost if that fails."""
        await self._lists.close()
        self._labels.settle()
        await self._write()

    async def _write(self) -> bool:
        """Return whether everything is written. A failure was logged and counted by the database."""
        async with self._lock:
            if not self._collect():
                return True
            try:
                await self._saved.add(self._unsaved)
            except StateNotSaved:
                return False
            self._unsaved = {}
            return True
