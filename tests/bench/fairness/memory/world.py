"""A machine that runs requests and loads models as a policy decides, and counts what comes of it.

The clock is virtual. An answer takes as long beside others as alone.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from math import inf
from typing import NamedTuple, Protocol


@dataclass(frozen=True, eq=False)
class Request:
    """It arrives `at` a time, and its answer takes `seconds`."""

    key: str
    model: str
    at: float
    seconds: float


class Run(NamedTuple):
    request: Request
    instance: str


class CutOff(NamedTuple):
    """End a request that waits in an instance which is unloaded."""

    request: Request


class Load(NamedTuple):
    model: str
    instance: str


class Unload(NamedTuple):
    """What runs on the instance is cut off."""

    instance: str


Act = Run | CutOff | Load | Unload


class Policy(Protocol):
    """Decides which requests run, and what is loaded and unloaded. Each event is answered with what to do."""

    def arrived(self, request: Request, now: float) -> Iterable[Act]: ...

    def ended(self, request: Request, now: float) -> Iterable[Act]: ...

    def loaded(self, instance: str, now: float) -> Iterable[Act]: ...

    def unloaded(self, instance: str, now: float) -> Iterable[Act]: ...

    def due(self) -> float:
        """Return when `tick` is to be called next, infinite for never."""
        ...

    def tick(self, now: float) -> Iterable[Act]: ...


@dataclass
class Outcome:
    """`seconds` are those of each key, loads included; `waits` those until a request ran, or until the end.

    `loading_seconds` is the time in which at least one model was loaded.
    """

    answered: Counter[str] = field(default_factory=Counter)
    cut_off: Counter[str] = field(default_factory=Counter)
    loads: int = 0
    loading_seconds: float = 0.0
    seconds: Counter[str] = field(default_factory=Counter)
    waits: dict[str, list[float]] = field(default_factory=dict)

    def part(self, key: str) -> float:
        return float(self.seconds[key]) / sum(self.seconds.values())


class World:
    """Plays arrivals to a policy. An unload takes `unload_seconds`, a load `load_seconds`."""

    def __init__(self, policy: Policy, *, load_seconds: float = 5.0, unload_seconds: float = 0.5) -> None:
        self.outcome = Outcome()
        self._policy = policy
        self._load_seconds, self._unload_seconds = load_seconds, unload_seconds
        self._now = 0.0
        self._waiting: set[Request] = set()
        self._running: dict[Request, str] = {}
        self._loading: Counter[str] = Counter()
        self._events: list[tuple[float, int, Callable[[], Iterable[Act]]]] = []
        self._order = count()

    def play(self, arrivals: Sequence[Request], until: float) -> Outcome:
        """Return what came of the requests up to this time, in seconds."""
        for request in arrivals:
            self._at(request.at, lambda request=request: self._arrive(request))  # type: ignore[misc]
        while (at := min(self._next(), self._policy.due())) <= until:
            self._pass(max(at, self._now))
            if self._next() <= at:
                _, _, event = heapq.heappop(self._events)
                self._do(event())
            else:
                self._do(self._policy.tick(self._now))
        self._pass(until)
        for request in self._waiting:
            self._waited(request)
        return self.outcome

    def _next(self) -> float:
        return self._events[0][0] if self._events else inf

    def _at(self, at: float, event: Callable[[], Iterable[Act]]) -> None:
        heapq.heappush(self._events, (at, next(self._order), event))

    def _pass(self, now: float) -> None:
        """Split the time that passes evenly among what runs. A load is paid by the keys that wait for it."""
        passed, self._now = now - self._now, now
        running = len(self._running) + self._loading.total()
        if not passed or not running:
            return
        each = passed / running
        for request in self._running:
            self.outcome.seconds[request.key] += each  # type: ignore[assignment]
        for model, loads in self._loading.items():
            keys = {request.key for request in self._waiting if request.model == model}
            for key in keys:
                self.outcome.seconds[key] += each * loads / len(keys)  # type: ignore[assignment]
        if self._loading:
            self.outcome.loading_seconds += passed

    def _do(self, acts: Iterable[Act]) -> None:
        for act in acts:
            match act:
                case Run(request, instance):
                    self._waiting.remove(request)
                    self._waited(request)
                    self._running[request] = instance
                    self._at(self._now + request.seconds, lambda request=request: self._end(request))  # type: ignore[misc]
                case CutOff(request):
                    self._waiting.remove(request)
                    self._cut_off(request)
                case Load(model, instance):
                    self.outcome.loads += 1
                    self._loading[model] += 1
                    at = self._now + self._load_seconds
                    self._at(at, lambda act=act: self._loaded(act))  # type: ignore[misc]
                case Unload(instance):
                    for request in [one for one, where in self._running.items() if where == instance]:
                        del self._running[request]
                        self._cut_off(request)
                    at = self._now + self._unload_seconds
                    self._at(at, lambda act=act: self._policy.unloaded(act.instance, self._now))  # type: ignore[misc]

    def _arrive(self, request: Request) -> Iterable[Act]:
        self._waiting.add(request)
        return self._policy.arrived(request, self._now)

    def _end(self, request: Request) -> Iterable[Act]:
        if self._running.pop(request, None) is None:
            return ()  # it was cut off
        self.outcome.answered[request.key] += 1
        return self._policy.ended(request, self._now)

    def _loaded(self, load: Load) -> Iterable[Act]:
        self._loading[load.model] -= 1
        self._loading += Counter()  # leaves out what is 0
        return self._policy.loaded(load.instance, self._now)

    def _cut_off(self, request: Request) -> None:
        self.outcome.cut_off[request.key] += 1

    def _waited(self, request: Request) -> None:
        self.outcome.waits.setdefault(request.key, []).append(self._now - request.at)
