"""The event loop of a process, and what the process is told by signals."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType

from ..errors import VitalTaskFailed

# By name, because no system has all of them. SIGBREAK is Windows': Ctrl-Break, or the console's closing.
_STOP = {getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGBREAK") if hasattr(signal, name)}
_RELOAD = {getattr(signal, name) for name in ("SIGHUP",) if hasattr(signal, name)}


class Signals:
    """What signals set: SIGTERM or Ctrl-C `stop`, the second of them `hurry`, SIGHUP `reload`.

    `failure` is why a vital task died, if one did.
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
    def heard(self) -> Iterator[None]:
        """Listen for them within this block, in the main thread, on the running loop."""
        loop = asyncio.get_running_loop()

        def hear(number: int, _frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self._tell, number)

        # Not loop.add_signal_handler(), which Windows' loop doesn't have: this way is every system's.
        before = {number: signal.signal(number, hear) for number in (_STOP | _RELOAD) - _left_ignored()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _tell(self, number: int) -> None:
        if number in _RELOAD:
            self.reload.set()
        else:
            (self.hurry if self.stop.is_set() else self.stop).set()


def _left_ignored() -> set[signal.Signals]:
    """Return SIGINT if it is ignored, as a script's shell has it for `lmgateway serve &`.

    Ctrl-C on the terminal reaches every process of the script, and is for the one in front. SIGHUP isn't
    asked for: `kill -HUP` reloads under nohup as well.
    """
    return {signal.SIGINT} if signal.getsignal(signal.SIGINT) is signal.SIG_IGN else set()


def run(main: Callable[[Signals], Coroutine[None, None, None]]) -> None:
    """Run `main` on an event loop, uvloop's where there is one. Raises VitalTaskFailed."""

    async def run_until_stopped() -> None:
        signals = Signals()
        # Before anything can be seen from outside, or whoever stops us early kills us.
        with signals.heard():
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
