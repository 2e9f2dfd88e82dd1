"""Boxes as the router sees them, in any state that a test gives them, and the requests that wait."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf

from lmgateway.scheduling.line import Line
from lmgateway.scheduling.router import Router, Routes
from lmgateway.scheduling.routing import Offer
from lmgateway.scheduling.slots import Instance, InstanceId, Lease
from lmgateway.scheduling.tickets import Account, Group, Terms, Ticket, Wanted
from lmgateway.scheduling.waiting import Reason
from lmgateway.schema.common import Mobility, ModelType

MODEL, OTHER = "qwen", "llama"


@dataclass
class FakeAttendance:
    may_answer: bool = False


@dataclass
class FakeKnowledge:
    attendance: FakeAttendance = field(default_factory=FakeAttendance)


@dataclass
class FakeBox:
    is_up: bool = True
    may_sleep: bool = False
    is_waking: bool = False
    known: FakeKnowledge = field(default_factory=FakeKnowledge)


@dataclass
class FakeProspects:
    """`offers` are by model, without which the box offers room. The sets are of models."""

    box: str
    offers: dict[str, Offer] = field(default_factory=dict)
    loading: set[str] = field(default_factory=set)
    bringing: set[str] = field(default_factory=set)
    returning: set[str] = field(default_factory=set)
    holding: set[str] = field(default_factory=set)
    absence: Reason = "model"

    def offer(self, model: str, _kind: ModelType, _now: float) -> Offer:
        return self.offers.get(model) or Offer(box=self.box)

    def is_hopeless(self, model: str, kind: ModelType, now: float) -> bool:
        return self.offer(model, kind, now).is_hopeless

    def loads(self, target: Wanted) -> bool:
        return target.model in self.loading

    def brings(self, target: Wanted) -> bool:
        return target.model in self.bringing

    def has(self, target: Wanted) -> bool:
        return target.model in self.holding

    def returns(self, target: Wanted) -> bool:
        return target.model in self.returning

    def is_leaving(self, _ticket: Ticket) -> bool:
        return False


@dataclass
class FakeResidency:
    prospects: FakeProspects


@dataclass
class FakeStation:
    """A box with these models on disk."""

    name: str
    disk: set[str] = field(default_factory=lambda: {MODEL, OTHER})
    has_residency: bool = True
    overslept_at: float = -inf
    box: FakeBox = field(default_factory=FakeBox)

    def __post_init__(self) -> None:
        self.residency = FakeResidency(FakeProspects(self.name))

    def knows(self, model: str) -> bool:
        return model in self.disk

    def offers(self, model: str = MODEL, **facts: object) -> None:
        self.residency.prospects.offers[model] = Offer(box=self.name, **facts)  # type: ignore[arg-type]


class Town:
    """Boxes with the same models on disk. No request of the key `limited` may run."""

    def __init__(self, names: Iterable[str] = "abc") -> None:
        self.stations = {name: FakeStation(name) for name in names}
        self.line = Line(
            terms=lambda key: Terms(1.0, 0 if key == "limited" else None), assume=lambda ticket: "model"
        )
        self.line.machines.boxes = tuple(self.stations)
        self.router = Router(self.line, self.stations)  # type: ignore[arg-type]

    def __getitem__(self, name: str) -> FakeStation:
        return self.stations[name]

    def down(self, name: str, **facts: bool) -> None:
        self.stations[name].box = FakeBox(is_up=False, **facts)
        self.line.machines.set_down(name, True)

    def drain(self, name: str) -> None:
        self.line.machines.set_draining(name, True)

    def has(self, name: str, model: str = MODEL, slots: int = 4) -> Instance:
        """Have a model in memory."""
        one = Instance(InstanceId(name, model), model, slots)
        self.line.put(one, 0.0)
        self.stations[name].residency.prospects.holding.add(model)
        return one

    def run(self, number: int = 1, **facts: object) -> list[Lease]:
        """Have requests run that find a free slot."""
        leases = [self.line.arrive(request(**facts), 0.0) for _ in range(number)]
        assert all(isinstance(lease, Lease) for lease in leases), leases
        return leases  # type: ignore[return-value]

    def wait(self, model: str = MODEL, **facts: object) -> Wanted:
        """Have a request wait; return what it waits for."""
        one = request(model=model, **facts)
        assert self.line.arrive(one, 0.0) == []
        return one.group.wanted

    def routes(self, now: float = 0.0) -> Routes:
        return self.router.decide(now)

    def goal(self, target: Wanted, now: float = 0.0) -> str | None:
        return self.routes(now).loads.get(target)

    def error(self, target: Wanted) -> str:
        """The code of the error by which it is refused, "" if it isn't."""
        return dict(self.routes().hopeless)[target].code if dict(self.routes().hopeless) else ""


_numbers = iter(range(10**9))


def request(
    box: str = "",
    model: str = MODEL,
    instance: str | None = None,
    passed: Iterable[str] = (),
    key: str = "alice",
    conversation: bytes | None = None,
    mobility: Mobility = "none",
    **facts: object,
) -> Ticket:
    """Return the ticket of one for any box, or for `box` only."""
    wanted = Wanted(box, model, instance, frozenset(passed))
    group = Group(account=Account(key), wanted=wanted, **facts)  # type: ignore[arg-type]
    return Ticket(f"req_{next(_numbers)}", group, conversation=conversation, mobility=mobility)
