"""An event loop whose time a test can advance without waiting."""

from __future__ import annotations

import asyncio

import pytest


class Clock:
    """Advances the running loop's time, so that its timers fire."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        real, self._ahead = loop.time, 0.0
        monkeypatch.setattr(loop, "time", lambda: real() + self._ahead)
        # A callback during which the clock is advanced seems to be slow.
        loop.slow_callback_duration = float("inf")

    async def pass_seconds(self, seconds: float) -> None:
        """Advance the time, and run what is due by then."""
        self._ahead += seconds
        for _ in range(10):  # turns of the loop: a timer wakes a task, which closes a socket, and so on
            await asyncio.sleep(0)
