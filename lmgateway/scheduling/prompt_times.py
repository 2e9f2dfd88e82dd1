"""How long LM Studio takes for a prompt, learned from those whose first token was seen."""

from __future__ import annotations

from dataclasses import dataclass

MOST_LINGER_SECONDS = 120.0
# What is left of a measurement's weight after each newer one: about the last twenty count.
_DECAY = 0.95
# Sizes that differ by less, in proportion, don't show what a byte costs.
_LEAST_SPREAD = 1e-4


@dataclass(slots=True)
class _Fit:
    """A straight line through a model's prompts, by least squares: seconds for each, and for each byte."""

    weight: float = 0.0
    size: float = 0.0
    seconds: float = 0.0
    size_squared: float = 0.0
    size_seconds: float = 0.0

    def add(self, size: int, seconds: float) -> None:
        self.weight = self.weight * _DECAY + 1
        self.size = self.size * _DECAY + size
        self.seconds = self.seconds * _DECAY + seconds
        self.size_squared = self.size_squared * _DECAY + size * size
        self.size_seconds = self.size_seconds * _DECAY + size * seconds

    def at(self, size: int) -> float:
        mean = self.seconds / self.weight
        spread = self.weight * self.size_squared - self.size**2
        if spread <= _LEAST_SPREAD * self.size**2:
            # All of one size: in proportion to it.
            return mean * size * self.weight / self.size
        slope = (self.weight * self.size_seconds - self.size * self.seconds) / spread
        if slope <= 0:  # the long ones were in LM Studio's cache
            return mean
        base = mean - slope * self.size / self.weight
        # Below zero it would be the time of a short prompt.
        return base + slope * size if base >= 0 else size * self.size_seconds / self.size_squared


class PromptTimes:
    """The owner of what is learned of each model."""

    def __init__(self) -> None:
        self._fits: dict[str, _Fit] = {}

    def learn(self, model: str, body_bytes: int, seconds: float) -> None:
        """Learn from a streamed request: the seconds from sending it on until its first token.

        A plain answer doesn't show when its prompt was done.
        """
        if body_bytes > 0:
            self._fits.setdefault(model, _Fit()).add(body_bytes, seconds)

    def linger_seconds(self, model: str, body_bytes: int) -> float:
        """Return how long after it was sent on a prompt may hold its slot without its client.

        It is twice as long as such prompts take, and at most 120 s.
        """
        fit = self._fits.get(model)
        return MOST_LINGER_SECONDS if fit is None else min(2 * fit.at(body_bytes), MOST_LINGER_SECONDS)
