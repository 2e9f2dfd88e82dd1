"""The models that couldn't be loaded, and until when they aren't tried again."""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from ...errors import GatewayError

FIRST_PAUSE_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 600.0


class Failure(NamedTuple):
    """The last failure of a model: what its requests are told until then, and the pause after the next one.

    `of_memory`: there wasn't enough, so an unload of any model may help.
    """

    error: GatewayError
    until: float
    next_pause: float
    of_memory: bool


class Failures:
    """The owner of the failures, by model. A success or an unload that may help ends the pause.

    Only a success makes the next pause short again.
    """

    def __init__(self) -> None:
        self._by_model: dict[str, Failure] = {}

    def add(self, model: str, error: GatewayError, now: float, *, of_memory: bool) -> None:
        """Don't try the model for a pause that doubles with each failure."""
        known = self._by_model.get(model)
        pause = FIRST_PAUSE_SECONDS if known is None else known.next_pause
        following = min(2 * pause, LONGEST_PAUSE_SECONDS)
        self._by_model[model] = Failure(error, now + pause, following, of_memory)

    def of(self, model: str, now: float) -> Failure | None:
        """Return the failure because of which the model isn't tried now."""
        known = self._by_model.get(model)
        return known if known is not None and now < known.until else None

    def succeeded(self, model: str) -> None:
        self._by_model.pop(model, None)

    def memory_is_freed(self) -> None:
        """Let the models be tried again that found too little memory: what was in their way is gone."""
        for model, failure in tuple(self._by_model.items()):
            if failure.of_memory:
                self._by_model[model] = failure._replace(until=-inf)
