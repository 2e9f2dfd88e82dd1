"""Faults of the gateway's own bookkeeping, which fail no request."""

from __future__ import annotations

import logging
import sys

logger = logging.getLogger(__name__)


class Faults:
    """Logs each kind of fault once: it may occur again with every request, or with every event."""

    def __init__(self) -> None:
        self._logged: set[str] = set()

    def log(self, work: str) -> None:
        """Log the exception that is being handled, unless one was logged for this kind of work."""
        if work not in self._logged:
            self._logged.add(work)
            text = "%s failed. No request fails for it, and it isn't logged again"
            logger.error(text, work, exc_info=sys.exception())
