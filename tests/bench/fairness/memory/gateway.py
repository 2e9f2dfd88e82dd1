"""The gateway's own rule: its line and its residency, with what LM Studio does left to the world."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from math import inf

from lmgateway.scheduling.bounds import Refusal
from lmgateway.scheduling.line import Line
from lmgateway.scheduling.residency import effects
from lmgateway.scheduling.residency.residency import Residency
from lmgateway.scheduling.residency.terms import ResidencyTerms
from lmgateway.scheduling.slots import Instance, InstanceId, Lease
from lmgateway.scheduling.tickets import Account, Group, Ticket, Wanted

from .world import Act, Load, Request, Run, Unload

_BOX = "lmstudio"


class Gateway:
    """With its default settings: room for one model, loads in at most a fifth of the time."""

    def __init__(self, slots: int = 4) -> None:
        self._slots = slots
        self._line = Line(assume=lambda one: self._residency.prospects.absence)
        self._residency = Residency(_BOX, self._line, ResidencyTerms())
        self._requests: dict[Ticket, Request] = {}
        self._tickets: dict[Request, Ticket] = {}
        self._loads: dict[str, effects.Load] = {}
        self._leaving: dict[str, Instance] = {}
        self._numbers = count()

    def arrived(self, request: Request, now: float) -> Iterator[Act]:
        group = Group(account=Account(request.key), wanted=Wanted(_BOX, request.model))
        ticket = Ticket(str(next(self._numbers)), group)
        self._requests[ticket], self._tickets[request] = request, ticket
        match self._line.arrive(ticket, now):
            case Refusal(code=code):
                raise RuntimeError(f"a request was refused: {code}")
            case Lease() as lease:
                yield from self._go_on([lease], now)
            case leases:
                yield from self._go_on(leases, now)

    def ended(self, request: Request, now: float) -> Iterator[Act]:
        lease = self._line.running[self._tickets.pop(request)]
        yield from self._go_on(self._line.release(lease, now), now)

    def loaded(self, instance: str, now: float) -> Iterator[Act]:
        load = self._loads.pop(instance)
        one = Instance(InstanceId(_BOX, instance), load.target.model, self._slots, load.kind)
        leases = self._line.put(one, now)
        self._residency.load_ended(load, effects.Loaded(instance), now)
        yield from self._go_on(leases, now)

    def unloaded(self, instance: str, now: float) -> Iterator[Act]:
        self._residency.unload_ended(self._leaving.pop(instance), effects.Unloaded("gone"), now)
        yield from self._go_on((), now)

    def due(self) -> float:
        dues = (self._line.due(), self._residency.due())
        return min((due for due in dues if due is not None), default=inf)

    def tick(self, now: float) -> Iterator[Act]:
        _, leases = self._line.tick(now)
        yield from self._go_on(leases, now)

    def _go_on(self, leases: Iterable[Lease], now: float) -> Iterator[Act]:
        yield from self._run(leases)
        decision = self._residency.decide(now)
        yield from self._run(decision.leases)
        for effect in decision.effects:
            match effect:
                case effects.Load():
                    self._loads[effect.target.model] = effect
                    yield Load(effect.target.model, effect.target.model)
                case effects.Unload():
                    self._leaving[effect.instance.id.name] = effect.instance
                    yield Unload(effect.instance.id.name)
                case effects.Refuse():
                    raise RuntimeError(f"a request was refused: {effect.error.message}")

    def _run(self, leases: Iterable[Lease]) -> Iterator[Act]:
        for lease in leases:
            yield Run(self._requests.pop(lease.ticket), lease.instance.id.name)
