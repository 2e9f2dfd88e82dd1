"""Log monitoring as configured: follows LM Studio's folder of logs, its stream of records, or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from ... import background
from ...config import LMStudio
from ...observe.event_stream import Events
from ..origin import Origin
from .follower import LogFollower
from .publisher import Publisher
from .stream import LogStream


class LogMonitor:
    """The owner of the running LogFollower or LogStream."""

    def __init__(self, events: Events, on_prompt_progress: Callable[[float], None]) -> None:
        self._publisher = Publisher(events, on_prompt_progress)
        self._source: Path | Origin | None = None
        self._following: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[None]] = set()

    def follow(self, config: LMStudio | None) -> None:
        """Follow this configuration's log, or none. An unchanged source is followed on without a gap."""
        source = None if config is None else _source(config)
        if source == self._source:
            return
        if self._following is not None:
            # It publishes nothing more. A reload doesn't wait until its thread or connection has ended.
            self._following.cancel()
        self._source, self._following = source, None
        if source is not None:
            log = (
                LogFollower(source, self._publisher)
                if isinstance(source, Path)
                else LogStream(source, self._publisher)
            )
            self._following = background.start(background.restarting(log.run))
            self._running.add(self._following)
            self._following.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """End the followers, and wait until they have ended."""
        if self._running:
            await background.end(*self._running)


def _source(config: LMStudio) -> Path | Origin | None:
    if not config.log_monitoring:
        return None
    return Path(config.log_dir) if config.log_dir else Origin.of(config)
