"""Lists of requests: three keys use one model, and a fourth one another."""

from __future__ import annotations

import random
from collections.abc import Mapping

from .world import Request

MODELS = {"a": "one", "b": "one", "c": "one", "d": "other"}
LONGEST_ANSWER_SECONDS = 12.0
# By list, the mean seconds between two requests of a key.
PAUSES: Mapping[str, Mapping[str, float]] = {
    "people": {"a": 30, "b": 30, "c": 30, "d": 30},
    "agents": {"a": 10, "b": 10, "c": 10, "d": 20},
    "flood": {"a": 6, "b": 6, "c": 6, "d": 20},
    "guest": {"a": 10, "b": 10, "c": 10, "d": 300},
}


def arrivals(pauses: Mapping[str, float], seconds: float, seed: int) -> list[Request]:
    """Return the requests of all keys, in the order of their time. An answer takes from 4 to 12 s.

    Each request of a key is independent of its others (a Poisson process), as is how long its answer takes.
    """
    rng = random.Random(seed)
    requests = []
    for key, model in MODELS.items():
        at = rng.expovariate(1 / pauses[key])
        while at < seconds:
            requests.append(Request(key, model, at, rng.uniform(4.0, LONGEST_ANSWER_SECONDS)))
            at += rng.expovariate(1 / pauses[key])
    return sorted(requests, key=lambda request: request.at)
