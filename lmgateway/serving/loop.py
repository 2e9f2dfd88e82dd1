"""The event loop of a process, and what the process is told by signals."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine


class Signals:
    """What signals set: SIGTERM or Ctrl-C `stop`, the second of them `hurry`, SIGHUP `reload`."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()
        self.reload = asyncio.Event()

    def listen(self) -> None:
        if sys.platform == "win32":  # where Ctrl-C cancels
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self.reload.set)

    def _told_to_stop(self) -> None:
        (self.hurry if self.stop.is_set() else self.stop).set()


def run(main: Callable[[Signals], Coroutine[None, None, None]]) -> None:
    """Run `main` on an event loop, uvloop's where there is one."""

    async def run_until_stopped() -> None:
        signals = Signals()
        # Before anything can be seen from outside, or whoever stops us early kills us.
        signals.listen()
        await main(signals)

    try:
        import uvloop
    except ImportError:
        factory = None
    else:
        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(run_until_stopped())
