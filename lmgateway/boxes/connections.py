"""What the box of one name keeps over a reload: its connections, its loads in progress and its log."""

from __future__ import annotations

from functools import partial

from .. import background
from ..config import LMStudio
from ..observe.activity import Activity
from .http.pool import HttpPool
from .load_in_progress import LastSettings
from .loads import Loads
from .log.monitor import LogMonitor
from .sdk.links import SdkLinks
from .signs_of_life import SignsOfLife


class Connections:
    """The owner of the connections to the LM Studio of one box. Open them before use, and close them."""

    def __init__(
        self, box: str, config: LMStudio, activity: Activity, last_settings: LastSettings | None = None
    ) -> None:
        self.signs = SignsOfLife()
        self.pool = HttpPool(self.signs)
        self.probes = background.DetachedTasks()
        self.links = SdkLinks(config)
        self.loads = Loads(box, activity, last_settings, self.signs)
        self.log = LogMonitor(activity.events, partial(activity.prompt_progressed, box))
        self._config = config
        self._is_open = self._rests = False

    def open(self, config: LMStudio) -> None:
        """Have this configuration in force, and open what lasts. The event loop runs."""
        if not self._is_open:
            self._is_open = True
            self.pool.open()
        self._rests = False
        self.prefer(config)

    async def close(self) -> None:
        """Close everything, and end what still uses it. They may never have been opened."""
        if not self._is_open:
            return
        await self.log.close()
        await self.loads.close()
        await self.links.close()
        await self.probes.close()
        await self.pool.close()

    def prefer(self, config: LMStudio) -> None:
        """Have this configuration in force. What an older one needs ends with its requests."""
        self._config = config
        if not self._rests:
            self.links.prefer(config)
            self.log.follow(config)

    def rest_or_resume(self, is_left_alone: bool) -> None:
        self.rest() if is_left_alone else self.resume()

    def rest(self) -> None:
        """Close what isn't used, so that LM Studio's machine can sleep, or because its box isn't in force.

        Pooled HTTP connections are closed a few seconds after their last request.
        """
        self._rests = True
        self.links.prefer(None)
        self.log.follow(None)

    def resume(self) -> None:
        """Follow the log again. Other connections are opened by what needs them."""
        if self._rests:
            self._rests = False
            self.prefer(self._config)
