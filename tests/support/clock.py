"""An event loop whose time a test can let pass without waiting."""

from __future__ import annotations

import asyncio

import pytest


class Clock:
    """Timers of the running loop fire as if the time that passes here had really passed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        real, self._ahead = loop.time, 0.0
        monkeypatch.setattr(loop, "time", lambda: real() + self._ahead)
        # What is due while the clock is moved seems to take as long as it is moved by.
        loop.slow_callback_duration = float("inf")

    async def pass_seconds(self, seconds: float) -> None:
        """Let everything that is due by then happen."""
        self._ahead += seconds
        for _ in range(10):  # turns of the loop: a timer wakes a task, which closes a socket, and so on
            await asyncio.sleep(0)
