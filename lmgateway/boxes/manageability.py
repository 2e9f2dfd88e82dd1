"""Whether the models of the server at one address can be managed: it is LM Studio, and its SDK is reached."""

from __future__ import annotations

import json
import logging

from yarl import URL

from ..config import LMStudio
from .health import Health
from .origin import Origin

logger = logging.getLogger(__name__)

GREETING_PATH = "/lmstudio-greeting"

_NOT_PLAIN = "lmstudio.base_url is https or has a path, which LM Studio's SDK doesn't support"
_NOT_LM_STUDIO = "the server isn't LM Studio, because it doesn't know LM Studio's greeting"
# A refusal, a limit or a proxy's error says nothing about the server behind it.
_SAYS_NOTHING = frozenset({401, 403, 407, 408, 425, 429})


class Manageability:
    """The owner of this knowledge. `obstacle` is why the models can't be managed, None if they may be."""

    def __init__(self, config: LMStudio, health: Health) -> None:
        self._base_url: URL = config.base_url
        self._health = health
        self._has_sdk = Origin.of(config).sdk_host is not None
        self.obstacle = None if self._has_sdk else _NOT_PLAIN
        # How often LM Studio had stopped answering when it greeted.
        self._outages: int | None = None
        self._is_logged = False

    @property
    def needs_greeting(self) -> bool:
        """True if the server hasn't greeted since it last came up: another one may listen there by now."""
        return self._has_sdk and self._outages != self._health.outages

    def greeted(self, status: int, body: bytes) -> None:
        """Take in the response to a request for the greeting."""
        if status in _SAYS_NOTHING or status >= 500:
            return
        self._outages = self._health.outages
        self.obstacle = None if status == 200 and is_greeting(body) else _NOT_LM_STUDIO

    def log(self) -> None:
        """Log a change: that there is an obstacle, or none any more."""
        if self._is_logged == (self.obstacle is not None):
            return
        self._is_logged = not self._is_logged
        if self.obstacle is not None:
            logger.info("residency is off for %s: %s", self._base_url, self.obstacle)
        else:
            logger.info("residency is possible for %s: LM Studio answers there", self._base_url)


def is_greeting(body: bytes) -> bool:
    """True for LM Studio's greeting."""
    try:
        greeting = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(greeting, dict) and greeting.get("lmstudio") is True
