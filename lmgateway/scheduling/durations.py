"""How long the answers of each model take, learned from those that have ended."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

# How much a new answer counts at least.
_WEIGHT = 0.1
# Only the models that were used last are remembered: clients may choose names.
MAX_MODELS = 500


class _Mean(NamedTuple):
    answers: int
    seconds: float


class Durations:
    """The means of recent answers, in seconds. Estimates use them, decisions don't."""

    def __init__(self) -> None:
        self._means: OrderedDict[str, _Mean] = OrderedDict()

    def learn(self, model: str, seconds: float) -> None:
        """Take in how long an answer took from its dispatch to its end."""
        answers, mean = self._means.pop(model, _Mean(0, 0.0))
        weight = max(_WEIGHT, 1 / (answers + 1))
        self._means[model] = _Mean(answers + 1, mean + weight * (seconds - mean))
        if len(self._means) > MAX_MODELS:
            self._means.popitem(last=False)

    def mean(self, model: str) -> float | None:
        """Return the mean, None if no answer has ended."""
        mean = self._means.get(model)
        return None if mean is None else mean.seconds
