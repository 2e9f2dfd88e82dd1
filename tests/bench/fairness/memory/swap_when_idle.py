"""The rule of llama-swap: requests for the model in memory pass, and others wait until nothing runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from math import inf

from .world import Act, Load, Request, Run, Unload


class SwapWhenIdle:
    """First come, first served; a model is replaced when none of its requests runs or waits."""

    def __init__(self, slots: int = 4) -> None:
        self._slots = slots
        self._model: str | None = None
        self._is_swapping = False
        self._running = 0
        self._waiting: deque[Request] = deque()

    def arrived(self, request: Request, now: float) -> Iterator[Act]:
        self._waiting.append(request)
        yield from self._go_on()

    def ended(self, request: Request, now: float) -> Iterator[Act]:
        self._running -= 1
        yield from self._go_on()

    def loaded(self, instance: str, now: float) -> Iterator[Act]:
        self._model, self._is_swapping = instance, False
        yield from self._go_on()

    def unloaded(self, instance: str, now: float) -> Iterator[Act]:
        self._model = None
        model = self._waiting[0].model
        yield Load(model, model)

    def due(self) -> float:
        return inf

    def tick(self, now: float) -> Iterable[Act]:
        return ()

    def _go_on(self) -> Iterator[Act]:
        if self._is_swapping:
            return
        for request in [one for one in self._waiting if one.model == self._model]:
            if self._running == self._slots:
                return
            self._waiting.remove(request)
            self._running += 1
            yield Run(request, request.model)
        if self._waiting and not self._running:
            self._is_swapping = True
            if self._model is None:
                model = self._waiting[0].model
                yield Load(model, model)
            else:
                yield Unload(self._model)
