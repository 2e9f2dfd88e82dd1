"""Background tasks, each with an owner that ends it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Future
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from .errors import GatewayError

T = TypeVar("T")

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 600.0


def start(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Start a task. If it fails, that is logged at once, and not only when the task is awaited."""
    task = asyncio.create_task(work)
    task.add_done_callback(_log_failure)
    return task


async def restarting(
    work: Callable[[], Coroutine[Any, Any, None]],
    *,
    pause: float = PAUSE_SECONDS,
    longest_pause: float = LONGEST_PAUSE_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Run work that the process can do without for a while: a failure is logged, and it is run again.

    The pause before that doubles with each failure, until the work has run for `longest_pause` seconds.
    """
    next_pause = pause
    while True:
        began = clock()
        try:
            await work()
        except Exception:
            if clock() - began >= longest_pause:
                next_pause = pause
            logger.exception("%s failed, and is run again in %g s", _name_of(work), next_pause)
        else:
            return
        await asyncio.sleep(next_pause)
        next_pause = min(2 * next_pause, longest_pause)


def start_vital(
    work: Coroutine[Any, Any, None], on_failure: Callable[[BaseException], None]
) -> asyncio.Task[None]:
    """Start a task that the process can't do without: `on_failure` is called if it fails."""
    task = asyncio.create_task(work)

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (failure := task.exception()) is not None:
            on_failure(failure)

    task.add_done_callback(ended)
    return task


def raise_in_loop(failure: BaseException) -> None:
    """Have the event loop's exception handler log the failure of a vital task."""
    raise failure


@asynccontextmanager
async def running(*work: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run tasks for the duration of the block, each as `restarting` does."""
    tasks = [start(restarting(each)) for each in work]
    try:
        yield
    finally:
        await end(*tasks)


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel the tasks, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def join(task: asyncio.Task[T]) -> T:
    """Await a task without cancelling it when the waiter is cancelled."""
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        # There may be no other waiter that would raise the task's exception, so it is logged.
        task.remove_done_callback(_log_fault)
        task.add_done_callback(_log_fault)
        raise
    return task.result()


class DetachedTasks:
    """Work that is completed even if its caller is cancelled. The owner closes it."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        return await join(self.start(work))

    async def close(self) -> None:
        """Cancel what is still running, and wait until it has ended."""
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def in_daemon_thread(work: Callable[[], T], name: str) -> T:
    """Run blocking work in a daemon thread. Neither cancellation nor the process's exit waits for it.

    The process's exit does wait for threads of asyncio.to_thread and of executors.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        if not outcome.set_running_or_notify_cancel():
            return
        try:
            result = work()
        except BaseException as exc:  # noqa: BLE001 - raised again in the caller
            outcome.set_exception(exc)
        else:
            outcome.set_result(result)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await asyncio.wrap_future(outcome)


def _name_of(work: Callable[[], object]) -> str:
    named = work.func if isinstance(work, partial) else work
    return getattr(named, "__qualname__", repr(named))


def _log_fault(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and not isinstance(task.exception(), GatewayError):
        _log_failure(task)


def _log_failure(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (failure := task.exception()) is not None:
        logger.error("%s failed", task.get_coro(), exc_info=failure)
