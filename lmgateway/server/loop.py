"""The event loop of a process, and its signal handlers."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ..errors import VitalTaskFailed

logger = logging.getLogger(__name__)

# By name, because no system has all of them. Windows sends SIGBREAK on Ctrl-Break and on closing the console.
_STOP = {getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGBREAK") if hasattr(signal, name)}
_RELOAD = {getattr(signal, name) for name in ("SIGHUP",) if hasattr(signal, name)}


class Signals:
    """Events that signals set: SIGTERM or Ctrl-C sets `stop`, a second one `hurry`; SIGHUP sets `reload`.

    `failure` is the exception of a vital task that died, if one did.
    """

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()
        self.reload = asyncio.Event()
        self.failure: BaseException | None = None

    def fail(self, failure: BaseException) -> None:
        """End the process at once: a vital task died."""
        self.failure = failure
        self.stop.set()
        self.hurry.set()

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle the signals inside this block. To be called in the main thread, on the running loop."""
        loop = asyncio.get_running_loop()

        def handle(number: int, _frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self._set_event, number)

        # Not loop.add_signal_handler(), which Windows' event loop doesn't have.
        before = {number: signal.signal(number, handle) for number in (_STOP | _RELOAD) - _left_ignored()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _set_event(self, number: int) -> None:
        if number in _RELOAD:
            self.reload.set()
        else:
            (self.hurry if self.stop.is_set() else self.stop).set()


def _left_ignored() -> set[signal.Signals]:
    """Return SIGINT if it is ignored, which a script's shell does for `lmgateway serve &`.

    Ctrl-C on the terminal reaches every process of the script, but is for the foreground one. SIGHUP is
    handled even if it is ignored, so that `kill -HUP` reloads under nohup too.
    """
    return {signal.SIGINT} if signal.getsignal(signal.SIGINT) is signal.SIG_IGN else set()


def _log_unhandled(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an exception that nothing caught. asyncio's own handler quotes the arguments of callbacks."""
    message = str(context.get("message", "")).partition("(")[0]
    task = context.get("task") or context.get("future")
    name = task.get_name() if isinstance(task, asyncio.Task) else ""
    logger.error("%s %s", message, name, exc_info=context.get("exception"))


def run(main: Callable[[Signals], Coroutine[None, None, None]]) -> None:
    """Run `main` on an event loop, uvloop's if it is installed. Raises VitalTaskFailed."""

    async def run_until_stopped() -> None:
        signals = Signals()
        asyncio.get_running_loop().set_exception_handler(_log_unhandled)
        # First of all: a SIGTERM before the handlers are set would kill the process without cleanup.
        with signals.handled():
            await main(signals)
        if signals.failure is not None:
            raise VitalTaskFailed(f"a vital task died: {signals.failure!r}") from signals.failure

    try:
        import uvloop
    except ImportError:
        factory = None
    else:
        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(run_until_stopped())
