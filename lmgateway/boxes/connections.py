"""What one LM Studio's box keeps over a reload: its connections, its loads in progress and its log."""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from .. import background
from ..config import LMStudio
from ..observe.activity import Activity
from .http.pool import HttpPool
from .load_in_progress import LastSettings
from .loads import Loads
from .log.monitor import LogMonitor
from .sdk.links import SdkLinks


class Connections:
    """The owner of the connections to one LM Studio. A context manager: enter it before use."""

    def __init__(
        self, config: LMStudio, activity: Activity, last_settings: LastSettings | None = None
    ) -> None:
        self.pool = HttpPool()
        self.probes = background.DetachedTasks()
        self.links = SdkLinks(config)
        self.loads = Loads(activity, last_settings)
        self.log = LogMonitor(activity.events, activity.prompt_progressed)
        self._config = config
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as starting:
            await starting.enter_async_context(self.pool)
            starting.push_async_callback(self.probes.close)
            starting.push_async_callback(self.links.close)
            starting.push_async_callback(self.loads.close)
            starting.push_async_callback(self.log.close)
            self.prefer(self._config)
            self._resources = starting.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._resources.aclose()

    def prefer(self, config: LMStudio) -> None:
        """Have this configuration in force. What an older one needs ends with its requests."""
        self.links.prefer(config)
        self.log.follow(config)
