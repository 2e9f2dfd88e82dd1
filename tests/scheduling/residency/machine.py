"""A machine that loads models, and clients who ask for them, by a clock that the test advances."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from lmgateway.errors import GatewayError
from lmgateway.scheduling.bounds import Refusal
from lmgateway.scheduling.line import Line
from lmgateway.scheduling.residency.effects import (
    DrainEnd,
    DrainStart,
    Effect,
    Load,
    Loaded,
    LoadFailure,
    LoadOutcome,
    Refuse,
    SwapEnd,
    Unload,
    Unloaded,
)
from lmgateway.scheduling.residency.residency import Residency
from lmgateway.scheduling.residency.terms import ResidencyTerms
from lmgateway.scheduling.slots import Instance, InstanceId, Lease
from lmgateway.scheduling.tickets import Terms, Ticket
from tests.scheduling.schedule import Client, ticket
from tests.scheduling.timeline import Timeline

BOX = "lmstudio"


@dataclass(frozen=True)
class Model:
    """How long a load of it takes, in seconds, and how many requests it runs at once."""

    load: float = 5.0
    slots: int = 4


@dataclass
class Loading:
    load: Load
    began: float


@dataclass
class Machine(Timeline):
    """Carries out what the residency wants, as LM Studio does. `outcomes` are those of the next loads."""

    terms: ResidencyTerms = field(default_factory=ResidencyTerms)
    models: dict[str, Model] = field(default_factory=dict)
    unload_seconds: float = 0.5

    def __post_init__(self) -> None:
        super().__init__()
        # How many requests of a key may run at once.
        self.limits: dict[str, int] = {}
        self.line = Line(
            terms=lambda key: Terms(1.0, self.limits.get(key)),
            assume=lambda one: self.residency.prospects.absence,
        )
        self.residency = Residency(BOX, self.line, self.terms)
        self.refused: list[tuple[Ticket, GatewayError]] = []
        self.began: list[Load] = []
        self.loads: list[tuple[str, float, float]] = []
        self.unloads: list[tuple[str, float, int]] = []
        self.told: list[DrainStart | DrainEnd | SwapEnd] = []
        self.outcomes: dict[str, list[LoadOutcome | None]] = {}
        self.answers: Counter[str] = Counter()
        self.waits: dict[str, list[float]] = {}
        # What others run, by instance, which only a count tells.
        self.others: Counter[str] = Counter()
        self._began: dict[Ticket, tuple[float, Callable[[Lease], None] | None]] = {}
        self._clients: dict[Ticket, Client] = {}

    # ── Time ───────────────────────────────────────────────────────────────────────────────────────────────

    def dues(self) -> Iterable[float | None]:
        return self.line.due(), self.residency.due()

    def tick(self) -> None:
        _, leases = self.line.tick(self.now)
        self._go_on(leases)

    # ── Requests ───────────────────────────────────────────────────────────────────────────────────────────

    def ask(self, one: Ticket, then: Callable[[Lease], None] | None = None) -> Ticket:
        """Let a request arrive; `then` is called with its lease once it runs."""
        self._began[one] = self.now, then
        leases = self.line.arrive(one, self.now)
        assert not isinstance(leases, Refusal)
        self._go_on([leases] if isinstance(leases, Lease) else leases)
        return one

    def end(self, one: Ticket) -> None:
        self._go_on(self.line.release(self.line.running[one], self.now))

    def leave(self, one: Ticket) -> None:
        self._go_on(self.line.leave(one, self.now))

    def keep_busy(self, *clients: Client) -> None:
        for client in clients:
            for _ in range(client.outstanding):
                self.at(client.begins, lambda client=client: self._arrive(client))  # type: ignore[misc]

    def _arrive(self, client: Client) -> None:
        if self.now < client.ends:
            one = ticket(client.key, **client.facts)
            self._clients[one] = client
            self.ask(one, lambda lease: self.at(self.now + client.seconds(), lambda: self._answered(lease)))

    def _answered(self, lease: Lease) -> None:
        if lease.phase == "ended":
            return
        client = self._clients.pop(lease.ticket)
        self.answers[client.key] += 1
        self.end(lease.ticket)
        self._arrive(client)

    def seconds(self, key: str) -> float:
        self.line.accounts.advance(self.now)
        return self.line.accounts.seconds().get(key, 0.0)

    # ── Memory ─────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def in_memory(self) -> dict[str, Instance]:
        everything = self.line.machines.instances.values()
        return {one.id.name: one for one in everything if one.is_listed}

    def put(self, model: str, *, name: str | None = None) -> Instance:
        """Have an instance in memory, as somebody else loads it."""
        known = self.models.get(model, Model())
        one = Instance(InstanceId(BOX, name or model), model, known.slots)
        self._go_on(self.line.put(one, self.now))
        return one

    def lose(self, one: Instance) -> None:
        """Have an instance gone, as somebody else unloads it."""
        if one.is_listed:
            self._go_on(self.line.remove(one, self.now))

    def decide(self) -> None:
        self._go_on(())

    def _go_on(self, leases: Iterable[Lease]) -> None:
        self._start(leases)
        decision = self.residency.decide(self.now)
        self._start(decision.leases)
        for effect in decision.effects:
            self._carry_out(effect)

    def _start(self, leases: Iterable[Lease]) -> None:
        for lease in leases:
            assert lease.instance.is_listed, "a request runs on a model that isn't in memory"
            assert lease.instance.state == "resident", lease.instance.state
            began, then = self._began.pop(lease.ticket)
            self.waits.setdefault(lease.ticket.account.key, []).append(self.now - began)
            if then is not None:
                then(lease)

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Load():
                self._load(effect)
            case Unload():
                self.at(self.now, lambda: self._unload(effect))
            case Refuse():
                self.refused.append((effect.ticket, effect.error))
                self._began.pop(effect.ticket)
            case _:
                self.told.append(effect)

    def _load(self, load: Load) -> None:
        began, seconds = self.now, self.models.get(load.target.model, Model()).load
        self.began.append(load)
        outcomes = self.outcomes.get(load.target.model, [])
        outcome = outcomes.pop(0) if outcomes else None
        self.at(self.now + seconds, lambda: self._loaded(load, outcome, began))

    def _loaded(self, load: Load, outcome: LoadOutcome | None, began: float) -> None:
        if outcome is None:
            name = load.target.instance or load.target.model
            there = self.in_memory.get(name)
            if there is None:
                known = self.models.get(load.target.model, Model())
                one = Instance(InstanceId(BOX, name), load.target.model, known.slots, load.kind)
                self._start(self.line.put(one, self.now))
            outcome = Loaded(name, was_there=there is not None)
            self.loads.append((load.target.model, began, self.now))
        self.residency.load_ended(load, outcome, self.now)
        self._go_on(())

    def _unload(self, unload: Unload) -> None:
        one = unload.instance
        if self.others[one.id.name] and not unload.is_forced:
            self.residency.unload_ended(one, Unloaded("busy", self.others[one.id.name]), self.now)
            self._go_on(())
            return
        self.unloads.append((one.id.name, self.now, len(one.leases)))
        self.at(self.now + self.unload_seconds, lambda: self._unloaded(one))

    def _unloaded(self, one: Instance) -> None:
        self.residency.unload_ended(one, Unloaded("gone"), self.now)
        self._go_on(())


NO_MEMORY = LoadFailure("no_memory", "Insufficient system resources.")
BROKEN = LoadFailure("other", "The model is damaged.")
NO_LINK = LoadFailure("no_link", "LM Studio's SDK can't be reached.")
