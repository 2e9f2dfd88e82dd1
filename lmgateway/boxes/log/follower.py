"""LM Studio's log, followed while it is written.

One thread polls the folder every POLL_SECONDS and wakes the event loop only when there are new events. This
costs about a second of processor time in ten minutes, and a line is published a seventh of a second after it
was written (tests/bench/log_watching.py measures both). File notifications (inotify and the like) would be
faster and cheaper, but don't report a folder that doesn't exist yet, a network drive, or Windows' files seen
from WSL. They would need a dependency, and polling in addition.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from ... import background
from .folder import LogFolder
from .publisher import Publisher

POLL_SECONDS = 0.25
STOP_SECONDS = 1
_THREAD = "lmstudio-log"


class LogFollower:
    """Publishes, as events, what LM Studio writes to `<directory>/YYYY-MM/YYYY-MM-DD.N.log` while it runs."""

    def __init__(self, directory: Path, publisher: Publisher, *, poll_seconds: float = POLL_SECONDS) -> None:
        self._directory = directory
        self._publisher = publisher
        self._poll_seconds = poll_seconds

    async def run(self) -> None:
        """Follow until cancelled. Missing, deleted and unreadable files are retried, never an error."""
        folder = LogFolder(self._directory, self._poll_seconds)
        try:
            while True:
                await self._publisher.publish(await background.in_daemon_thread(folder.wait, _THREAD))
        finally:
            folder.stopped.set()
            # A network drive that doesn't answer may block the thread for minutes: don't wait for it.
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await background.in_daemon_thread(folder.close, _THREAD)
