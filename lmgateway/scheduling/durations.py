"""How long the answers of each model take, learned from those that have ended."""

from __future__ import annotations

from collections import OrderedDict

# How much a new answer counts at least.
_WEIGHT = 0.1
# So many answers count equally.
_EQUAL_ANSWERS = 10
# Only the models that were used last are remembered: clients may choose names.
MAX_MODELS = 500


class _Mean:
    __slots__ = ("answers", "seconds")

    def __init__(self) -> None:
        self.answers = 0
        self.seconds = 0.0


class Durations:
    """The means of recent answers, in seconds. Estimates use them, decisions don't."""

    def __init__(self) -> None:
        self._means: OrderedDict[str, _Mean] = OrderedDict()

    def learn(self, model: str, seconds: float) -> None:
        """Take in how long an answer took from its dispatch to its end."""
        mean = self._means.get(model)
        if mean is None:
            mean = self._means[model] = _Mean()
            if len(self._means) > MAX_MODELS:
                self._means.popitem(last=False)
        else:
            self._means.move_to_end(model)
        mean.answers += 1
        weight = 1 / mean.answers if mean.answers < _EQUAL_ANSWERS else _WEIGHT
        mean.seconds += weight * (seconds - mean.seconds)

    def mean(self, model: str) -> float | None:
        """Return the mean, None if no answer has ended."""
        mean = self._means.get(model)
        return None if mean is None else mean.seconds
