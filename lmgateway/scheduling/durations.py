"""How long the answers of each model take, learned from those that have ended."""

from __future__ import annotations

from collections import OrderedDict, deque

# So many answers of a model count, the most recent ones.
ANSWERS = 20
# Only the models that were used last are remembered: clients may choose names.
MAX_MODELS = 500


class Durations:
    """The means of recent answers, in seconds. Estimates use them, decisions don't."""

    def __init__(self) -> None:
        self._recent: OrderedDict[str, deque[float]] = OrderedDict()

    def learn(self, model: str, seconds: float) -> None:
        """Take in how long an answer took from its dispatch to its end."""
        recent = self._recent.get(model)
        if recent is None:
            recent = self._recent[model] = deque(maxlen=ANSWERS)
            if len(self._recent) > MAX_MODELS:
                self._recent.popitem(last=False)
        else:
            self._recent.move_to_end(model)
        recent.append(seconds)

    def mean(self, model: str) -> float | None:
        """Return the mean, None if no answer has ended."""
        recent = self._recent.get(model)
        return None if recent is None else sum(recent) / len(recent)
