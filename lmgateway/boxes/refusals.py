"""What LM Studio's models have refused, so that a request of the same kind is mended before it is sent."""

from __future__ import annotations

from ..schema.common import Mend
from ..text import NAME_CHARACTERS
from .health import Health

MAX_MODELS = 1000


class Refusals:
    """The owner of this knowledge about one LM Studio.

    It is forgotten when LM Studio was away: it may have been updated since.
    """

    def __init__(self, health: Health) -> None:
        self._health = health
        self._outages = health.outages
        self._mends: dict[str | None, tuple[Mend, ...]] = {}

    def of(self, model: str | None) -> tuple[Mend, ...]:
        """Return the mends that this model's requests need, in the order in which they were refused."""
        if self._outages != self._health.outages:
            self._outages = self._health.outages
            self._mends.clear()
        return self._mends.get(model, ())

    def add(self, model: str | None, mend: Mend) -> None:
        known = self.of(model)
        if model is not None and len(model) > NAME_CHARACTERS:
            return  # clients choose it
        if mend not in known and (known or len(self._mends) < MAX_MODELS):
            self._mends[model] = (*known, mend)
