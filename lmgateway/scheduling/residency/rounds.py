"""One decision after the other: what each of them does, and when the next one is due."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import NamedTuple

from ...errors import GatewayError
from ..line import Line
from ..slots import Lease
from ..tickets import Ticket, Wanted
from .effects import Effect, Refuse
from .wants import target_of


class Decision(NamedTuple):
    """What is to be done, and the leases of requests that may run because of it."""

    effects: Sequence[Effect]
    leases: Sequence[Lease]


class Round:
    """Collects what a decision does. `now` is its time."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.now = 0.0
        self._due = inf
        self._effects: list[Effect] = []
        self._leases: list[Lease] = []

    def begin(self, now: float) -> None:
        self.now, self._due = now, inf

    def end(self) -> Decision:
        decision = Decision(self._effects, self._leases)
        self._effects, self._leases = [], []
        return decision

    @property
    def due(self) -> float | None:
        """When the next decision is needed, None if no time is."""
        return None if self._due == inf else self._due

    def look_again(self, at: float) -> None:
        """Have the next decision made at this time at the latest."""
        self._due = min(self._due, at)

    def do(self, effect: Effect) -> None:
        self._effects.append(effect)

    def let_in(self, leases: Sequence[Lease]) -> None:
        self._leases += leases

    def refuse(self, target: Wanted, error: GatewayError) -> None:
        """End all requests that wait for a model."""
        for waiter in tuple(self.line.waiting):
            if target_of(waiter.ticket) == target:
                self.refuse_one(waiter.ticket, error)

    def refuse_one(self, ticket: Ticket, error: GatewayError) -> None:
        self.let_in(self.line.leave(ticket, self.now))
        self.do(Refuse(ticket, error))
