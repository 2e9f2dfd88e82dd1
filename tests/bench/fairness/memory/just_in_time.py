"""LM Studio's own rule, with its default settings: load just in time, keep only the last model."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import count
from math import inf

from .world import Act, CutOff, Load, Request, Run, Unload


class _Instance:
    def __init__(self, model: str) -> None:
        self.model = model
        self.running: set[Request] = set()
        self.queue: deque[Request] = deque()


class JustInTime:
    """A request for an absent model loads it, and unloads the other one, even while that generates.

    Each request that finds its model not yet in memory loads an instance of its own. Where several have the
    model, requests go to the first. Several instances of a model always find memory.
    """

    def __init__(self, slots: int = 4) -> None:
        self._slots = slots
        self._numbers = count(1)
        self._loading: dict[str, Request] = {}
        self._instances: dict[str, _Instance] = {}

    def arrived(self, request: Request, now: float) -> Iterator[Act]:
        for name, instance in self._instances.items():
            if instance.model == request.model:
                instance.queue.append(request)
                yield from self._run(name)
                return
        yield from self._keep_only(request.model)
        name = f"{request.model}:{next(self._numbers)}"
        self._loading[name] = request
        yield Load(request.model, name)

    def ended(self, request: Request, now: float) -> Iterator[Act]:
        for name, instance in self._instances.items():
            if request in instance.running:
                instance.running.remove(request)
                yield from self._run(name)

    def loaded(self, instance: str, now: float) -> Iterator[Act]:
        request = self._loading.pop(instance)
        # Another model may have been loaded meanwhile.
        yield from self._keep_only(request.model)
        self._instances[instance] = _Instance(request.model)
        self._instances[instance].queue.append(request)
        yield from self._run(instance)

    def unloaded(self, instance: str, now: float) -> Iterable[Act]:
        return ()

    def due(self) -> float:
        return inf

    def tick(self, now: float) -> Iterable[Act]:
        return ()

    def _keep_only(self, model: str) -> Iterator[Act]:
        for name, instance in list(self._instances.items()):
            if instance.model != model:
                del self._instances[name]
                yield Unload(name)
                yield from map(CutOff, instance.queue)

    def _run(self, name: str) -> Iterator[Act]:
        instance = self._instances[name]
        while instance.queue and len(instance.running) < self._slots:
            request = instance.queue.popleft()
            instance.running.add(request)
            yield Run(request, name)
