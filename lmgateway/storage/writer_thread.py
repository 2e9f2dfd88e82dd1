"""The thread that uses the database."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

from ..errors import StateNotSaved

T = TypeVar("T")

logger = logging.getLogger(__name__)

_DIED = "The thread that writes the state died, so nothing was changed. The log says why."


class _Job(NamedTuple):
    work: Callable[[], Any]
    outcome: Future[Any]


class WriterThread:
    """Runs work one at a time, in the order of the calls, between `begin` and `end`.

    An exception of the work is raised in its caller. If the thread itself dies, it is started once more; if
    it dies again, `on_failure` is called with the reason, and all work raises StateNotSaved.
    """

    def __init__(
        self,
        *,
        begin: Callable[[], None],
        end: Callable[[], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._begin = begin
        self._end = end
        self._on_failure = on_failure
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._deaths = 0
        self._is_dead = False

    async def start(self) -> None:
        """Start the thread. Raises what `begin` raises."""
        self._start()
        await self.run(self._begin)

    async def stop(self) -> None:
        """End the thread after all work that was submitted before."""
        if self._thread is None or self._is_dead:
            return
        await self.run(self._end)
        self._jobs.put(None)
        self._thread.join()

    async def run(self, work: Callable[[], T]) -> T:
        """Return the result of the work, which is done even if the caller is cancelled."""
        if self._is_dead:
            raise StateNotSaved(_DIED)
        outcome: Future[T] = Future()
        self._jobs.put(_Job(work, outcome))
        # Shielded, because cancelling the future would discard work that has not started yet.
        return await asyncio.shield(asyncio.wrap_future(outcome))

    def _start(self, *, again: bool = False) -> None:
        loop = asyncio.get_running_loop()
        # A daemon, so that it can't hold up the end of a process whose event loop has failed.
        self._thread = threading.Thread(target=self._live, args=(loop, again), name="database", daemon=True)
        self._thread.start()

    def _live(self, loop: asyncio.AbstractEventLoop, again: bool) -> None:
        job: _Job | None = None
        try:
            if again:
                self._begin()
            while (job := self._jobs.get()) is not None:
                _do(job)
        except BaseException as exc:  # noqa: BLE001 - passed on to the event loop's thread
            with suppress(Exception):
                self._end()
            if job is not None and not job.outcome.done():
                job.outcome.set_exception(StateNotSaved(_DIED))
            with suppress(RuntimeError):  # the loop was closed
                loop.call_soon_threadsafe(self._died, exc)

    def _died(self, reason: BaseException) -> None:
        self._deaths += 1
        if self._deaths == 1:
            logger.error("the database's thread died, and is started again", exc_info=reason)
            try:
                self._start(again=True)
            except RuntimeError as exc:  # the system allows no more threads
                reason = exc
            else:
                return
        self._is_dead = True
        while not self._jobs.empty():
            if (job := self._jobs.get()) is not None:
                job.outcome.set_exception(StateNotSaved(_DIED))
        self._on_failure(reason)


def _do(job: _Job) -> None:
    if not job.outcome.set_running_or_notify_cancel():
        return
    try:
        result = job.work()
    except Exception as exc:  # noqa: BLE001 - raised again in the caller
        job.outcome.set_exception(exc)
    else:
        job.outcome.set_result(result)
