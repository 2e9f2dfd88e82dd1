"""Whether LM Studio's log is followed, as configured."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from .. import background
from ..config import LMStudio
from ..observe.events import Events
from .log_follower import LogFollower

logger = logging.getLogger(__name__)


class LogFollowing:
    """The owner of the follower, if there is one."""

    def __init__(self, events: Events, on_prompt_progress: Callable[[float], None]) -> None:
        self._events = events
        self._on_prompt_progress = on_prompt_progress
        self._followed: Path | None = None
        self._following: asyncio.Task[None] | None = None

    async def apply(self, config: LMStudio) -> None:
        """Follow what this configuration says, from now on."""
        if config.log_monitoring and not config.log_dir:
            logger.warning(
                "lmstudio.log_monitoring is on, but lmstudio.log_dir isn't set: no log is followed"
            )
        wanted = Path(config.log_dir) if config.log_monitoring and config.log_dir else None
        if wanted == self._followed:
            return
        await self.close()
        if wanted is not None:
            follower = LogFollower(wanted, self._events, on_prompt_progress=self._on_prompt_progress)
            self._followed, self._following = wanted, background.start(follower.run())

    async def close(self) -> None:
        following, self._following, self._followed = self._following, None, None
        if following is not None:
            await background.end(following)
