"""A schedule: keys whose requests run on an instance, by a clock that the schedule advances."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

from lmgateway.scheduling.bounds import Refusal
from lmgateway.scheduling.line import Line
from lmgateway.scheduling.slots import Instance, InstanceId, Lease
from lmgateway.scheduling.tickets import Account, Group, Terms, Ticket, Wanted

MODEL = "qwen"


def instance(slots: int = 4, *, name: str = MODEL, context: int | None = None) -> Instance:
    return Instance(InstanceId("lmstudio", name), MODEL, slots, context=context)


_numbers = count()
_SIZES = ("body_bytes", "prompt_bytes", "earlier_tokens", "max_tokens")


def ticket(key: str = "alice", **facts: object) -> Ticket:
    """Return one of a model. `facts` are of the ticket, its group, its account, or what it wants."""
    address, model, instance = (
        facts.pop("address", None),
        facts.pop("model", MODEL),
        facts.pop("instance", None),
    )
    sizes = {name: facts.pop(name) for name in _SIZES if name in facts}
    wanted = Wanted("lmstudio", model, instance)  # type: ignore[arg-type]
    group = Group(account=Account(key, address), wanted=wanted, **facts)  # type: ignore[arg-type]
    return Ticket(f"req_{next(_numbers)}", group, **sizes)  # type: ignore[arg-type]


def arrive(of: Line, request: Ticket, now: float) -> list[Lease]:
    """Return the leases of those that may run now that this request has arrived."""
    outcome = of.arrive(request, now)
    assert not isinstance(outcome, Refusal), outcome.code
    return [outcome] if isinstance(outcome, Lease) else outcome


@dataclass
class Client:
    """Keeps so many requests in line or running, each of which takes so many seconds once it runs."""

    key: str
    outstanding: int
    seconds: Callable[[], float]
    facts: dict[str, object] = field(default_factory=dict)
    share: float = 1.0
    begins: float = 0.0
    ends: float = float("inf")
    patience: float = float("inf")


class Schedule:
    """Runs clients on a line. An answer takes as long beside others as alone."""

    def __init__(self, *clients: Client, slots: int = 4) -> None:
        terms = {client.key: Terms(client.share) for client in clients}
        self.line = Line(terms=terms.__getitem__)
        self.line.put(instance(slots), 0.0)
        self.clients = clients
        self.now = 0.0
        self.waits: dict[str, list[float]] = {client.key: [] for client in clients}
        self.answers: dict[str, int] = {client.key: 0 for client in clients}
        self.most_running = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._began: dict[Ticket, tuple[Client, float]] = {}
        for client in clients:
            for _ in range(client.outstanding):
                self._at(client.begins, lambda client=client: self._arrive(client))  # type: ignore[misc]

    def run(self, seconds: float) -> Iterator[float]:
        """Run so long, and yield the time after each event."""
        while self._events and self._events[0][0] <= seconds:
            due = self.line.due()
            at, _, act = self._events[0]
            if due is not None and due < at:
                self.now = due
                expired, leases = self.line.tick(due)
                for waiter in expired:
                    client, _ = self._began.pop(waiter.ticket)
                    self._arrive(client)
                self._start(leases)
            else:
                heapq.heappop(self._events)
                self.now = at
                act()
            self.most_running = max(self.most_running, len(self.line.running))
            yield self.now

    def seconds(self, key: str) -> float:
        self.line.accounts.advance(self.now)
        return self.line.accounts.seconds()[key]

    def _at(self, time: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (time, next(self._order), act))

    def _arrive(self, client: Client) -> None:
        if self.now >= client.ends:
            return
        facts = {"max_wait": client.patience, **client.facts}
        arriving = ticket(client.key, **facts)
        self._began[arriving] = (client, self.now)
        self._start(arrive(self.line, arriving, self.now))

    def _start(self, leases: list[Lease]) -> None:
        for lease in leases:
            client, began = self._began[lease.ticket]
            self.waits[client.key].append(self.now - began)
            self._at(self.now + client.seconds(), lambda lease=lease: self._end(lease))  # type: ignore[misc]

    def _end(self, lease: Lease) -> None:
        client, _ = self._began.pop(lease.ticket)
        self.answers[client.key] += 1
        self._start(self.line.release(lease, self.now))
        self._arrive(client)
