"""Log monitoring as configured: follows the configured folder, or none."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from ... import background
from ...config import LMStudio
from ...observe.event_stream import Events
from .follower import LogFollower

logger = logging.getLogger(__name__)


class LogMonitor:
    """The owner of the running LogFollower."""

    def __init__(self, events: Events, on_prompt_progress: Callable[[float], None]) -> None:
        self._events = events
        self._on_prompt_progress = on_prompt_progress
        self._directory: Path | None = None
        self._following: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[None]] = set()

    def follow(self, config: LMStudio) -> None:
        """Follow this configuration's folder. If it is unchanged, the follower runs on without a gap."""
        if config.log_monitoring and not config.log_dir:
            logger.warning(
                "lmstudio.log_monitoring is on, but lmstudio.log_dir isn't set: no log is followed"
            )
        directory = Path(config.log_dir) if config.log_monitoring and config.log_dir else None
        if directory == self._directory:
            return
        if self._following is not None:
            # It publishes nothing more. A reload doesn't wait until its thread has ended.
            self._following.cancel()
        self._directory, self._following = directory, None
        if directory is not None:
            follower = LogFollower(directory, self._events, on_prompt_progress=self._on_prompt_progress)
            self._following = background.start(background.restarting(follower.run))
            self._running.add(self._following)
            self._following.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """End the followers, and wait until they have ended."""
        if self._running:
            await background.end(*self._running)
