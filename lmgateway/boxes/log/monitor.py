"""Log monitoring as configured: follows the configured folder, or none."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from ... import background
from ...config import LMStudio
from ...observe.event_stream import Events
from .follower import LogFollower

logger = logging.getLogger(__name__)


class LogMonitor:
    """The owner of the running LogFollower: a context manager that follows the configured folder."""

    def __init__(self, config: LMStudio, events: Events, on_prompt_progress: Callable[[float], None]) -> None:
        self._config = config
        self._events = events
        self._on_prompt_progress = on_prompt_progress
        self._directory: Path | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.reconfigure(self._config)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def reconfigure(self, config: LMStudio) -> None:
        """Follow this configuration's folder. If it is unchanged, the follower runs on without a gap."""
        if config.log_monitoring and not config.log_dir:
            logger.warning(
                "lmstudio.log_monitoring is on, but lmstudio.log_dir isn't set: no log is followed"
            )
        directory = Path(config.log_dir) if config.log_monitoring and config.log_dir else None
        if directory == self._directory:
            return
        await self._stop()
        if directory is not None:
            follower = LogFollower(directory, self._events, on_prompt_progress=self._on_prompt_progress)
            self._directory, self._task = directory, background.start(follower.run())

    async def _stop(self) -> None:
        task, self._task, self._directory = self._task, None, None
        if task is not None:
            await background.end(task)
