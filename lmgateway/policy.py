"""What follows from the configuration for each request."""

from __future__ import annotations

from .access.cors import Cors
from .access.guard import Guard
from .config import Config
from .traffic.headers import RequestFields


class Policy:
    """A configuration and the rules made from it. A request keeps the one that it began with."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.cors = Cors(config)
        self.guard = Guard(config)
        self.request_fields = RequestFields(
            holds_key=self.guard.keys.occurs_in, api_token=config.lmstudio.api_token
        )


class Policies:
    """The owner of the policy in force, which a reload replaces."""

    def __init__(self, config: Config) -> None:
        self.current = Policy(config)

    def replace(self, config: Config) -> None:
        self.current = Policy(config)
