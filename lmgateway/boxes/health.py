"""Whether one LM Studio answers, by the outcome of its last request."""

from __future__ import annotations

import logging
from collections.abc import Callable

from yarl import URL

from ..errors import GatewayError, UpstreamSilent, UpstreamUnavailable

logger = logging.getLogger(__name__)


class Health:
    """The outcome of the last request. `answered` is None before the first one.

    `on_outage` is called when LM Studio stops answering; it must not raise.
    """

    on_outage: Callable[[], None] | None = None

    def __init__(self) -> None:
        self.answered: bool | None = None
        # How often LM Studio stopped answering.
        self.outages = 0
        self._outage_logged = False

    def record(self, failure: GatewayError | None, base_url: URL, reason: str = "") -> None:
        """Record the outcome of a request. An outage is logged when it begins and when it ends.

        `reason` is logged in place of the failure's message.
        """
        begins = self.answered is True and isinstance(failure, UpstreamUnavailable)
        self.answered = failure is None
        if begins:
            self.outages += 1
            if self.on_outage is not None:
                self.on_outage()
        if failure is None:
            if self._outage_logged:
                self._outage_logged = False
                logger.info("LM Studio answers again at %s", base_url)
        # One slow answer is in the access log, and is no outage.
        elif not self._outage_logged and not isinstance(failure, UpstreamSilent):
            self._outage_logged = True
            logger.warning("LM Studio doesn't answer at %s: %s", base_url, reason or failure)
