"""LM Studio's log, followed while it is written.

One thread polls the folder every POLL_SECONDS and wakes the event loop only when there are new events. This
costs about a second of processor time in ten minutes, and a line is published a seventh of a second after it
was written (tests/bench/log_watching.py measures both). File notifications (inotify and the like) would be
faster and cheaper, but don't report a folder that doesn't exist yet, a network drive, or Windows' files seen
from WSL. They would need a dependency, and polling in addition.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ... import background
from ...observe.event_stream import Events
from ...observe.events import Event
from .events import PromptProgress
from .folder import LogFolder

POLL_SECONDS = 0.25
# A burst is published in parts, because subscribers' queues are bounded; the rest waits in the log's file.
BURST_EVENTS = 100
BURST_PAUSE_SECONDS = 0.005
STOP_SECONDS = 1
_THREAD = "lmstudio-log"


class LogFollower:
    """Publishes, as events, what LM Studio writes to `<directory>/YYYY-MM/YYYY-MM-DD.N.log` while it runs."""

    def __init__(
        self,
        directory: Path,
        events: Events,
        *,
        on_prompt_progress: Callable[[float], None] | None = None,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        """`on_prompt_progress` is called with 0 to 1, before the event is published."""
        self._directory = directory
        self._events = events
        self._on_prompt_progress = on_prompt_progress
        self._poll_seconds = poll_seconds

    async def run(self) -> None:
        """Follow until cancelled. Missing, deleted and unreadable files are retried, never an error."""
        folder = LogFolder(self._directory, self._poll_seconds)
        try:
            while True:
                await self._publish(await background.in_daemon_thread(folder.wait, _THREAD))
        finally:
            folder.stopped.set()
            # A network drive that doesn't answer may block the thread for minutes: don't wait for it.
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await background.in_daemon_thread(folder.close, _THREAD)

    async def _publish(self, events: list[Event]) -> None:
        for number, event in enumerate(events, 1):
            if isinstance(event, PromptProgress) and self._on_prompt_progress is not None:
                self._on_prompt_progress(event.progress / 100)
            self._events.publish(event)
            if number % BURST_EVENTS == 0:
                await asyncio.sleep(BURST_PAUSE_SECONDS)
