"""Several boxes that go down, drain, load and fail by chance, and the requests that are routed over them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import inf
from random import Random

from lmgateway.errors import GatewayError
from lmgateway.scheduling.line import Line
from lmgateway.scheduling.residency.effects import Effect, Load, Loaded, LoadFailure, Refuse, Unload, Unloaded
from lmgateway.scheduling.residency.residency import Residency
from lmgateway.scheduling.residency.terms import ResidencyTerms
from lmgateway.scheduling.router import Router, Routes
from lmgateway.scheduling.slots import Instance, InstanceId, Lease
from lmgateway.scheduling.stations import Station
from lmgateway.scheduling.tickets import Ticket, Wanted
from lmgateway.scheduling.waiting import Reason
from tests.scheduling.stations import FakeBox
from tests.scheduling.timeline import Timeline

NAMES, MODELS, KEYS = ("a", "b", "c"), ("m1", "m2", "m3"), ("alice", "bob", "carol")
FAILURES = ("other", "missing", "no_memory", "no_link", "cancelled")
# More decisions in one moment are a loop.
MOST_AT_ONCE = 200


class RandomStation:
    """A box of which the models on disk don't change."""

    def __init__(self, name: str, line: Line, disk: Iterable[str], terms: ResidencyTerms) -> None:
        self.name, self.disk, self.box = name, set(disk), FakeBox()
        self.has_residency, self.overslept_at = True, -inf
        self.residency = Residency(name, line, terms)
        # Of the process that runs now: what an earlier one was doing is lost.
        self.life = 0

    def knows(self, model: str) -> bool:
        return model in self.disk


class RandomBoxes(Timeline):
    """`random` decides how long things take, and what comes of them. `check` follows each event."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self.random, self.is_calm = random, False
        self.line = Line(assume=self._assume)  # type: ignore[arg-type]
        self.line.machines.boxes = NAMES
        terms = ResidencyTerms(max_models=random.choice([1, 1, 2]), switch_seconds=random.choice([0.0, 20.0]))
        self.stations = {
            name: RandomStation(name, self.line, random.sample(MODELS, random.choice([1, 2, 3, 3])), terms)
            for name in NAMES
        }
        self.router = Router(self.line, self.stations)  # type: ignore[arg-type]
        self.routes = Routes({})
        for station in self.stations.values():
            station.residency.concerns = lambda target, one=station: self._concerns(one, target)  # type: ignore[misc]
        self.counts: Counter[str] = Counter()
        # With the life of the box in which it began.
        self.loading: dict[Load, tuple[RandomStation, int]] = {}
        self._moment = (0.0, 0)

    def _assume(self, ticket: Ticket) -> Station | Reason:
        place = self.router.place(ticket, self.now)
        assert isinstance(place, str), "all boxes are managed"
        return place

    def _concerns(self, station: RandomStation, target: Wanted) -> bool:
        return self.routes.concern(station, target)  # type: ignore[arg-type]

    # ── Time ───────────────────────────────────────────────────────────────────────────────────────────────

    def dues(self) -> Iterable[float | None]:
        residencies = (one.residency for one in self.stations.values())
        return self.line.due(), self.routes.due, *(one.due() for one in residencies)

    def tick(self) -> None:
        expired, leases = self.line.tick(self.now)
        self.counts["expired"] += len(expired)
        self.go_on(leases)

    def moved(self) -> None:
        self.check()

    def check(self) -> None:
        """Nothing is left to decide, nobody is forgotten, and every request has one end."""
        if (due := self.line.due()) is not None and due <= self.now:
            return  # there is more in this moment
        assert not self.line.dispatch(self.now), "a request might have run"
        for waiter in self.line.waiting:
            self._check_waiter(waiter.ticket)
        self.line.accounts.advance(self.now)
        accounts = self.line.accounts
        total = sum(accounts.seconds().values()) + accounts.outside_seconds
        assert abs(total - accounts.busy_seconds) < 1e-6 * max(self.now, 1)
        ends = sum(self.counts[name] for name in ("began", "expired", "refused"))
        assert self.counts["arrived"] == ends + len(self.line.waiting)

    def _check_waiter(self, ticket: Ticket) -> None:
        """It waits for a slot that is taken, or for something that is being done, or for a time."""
        target = ticket.group.wanted
        able = [one for one in self.stations.values() if self.line.machines.is_open(one.name, target)]
        assert any(target.box or one.knows(target.model) for one in able), "it can run nowhere"
        if any(one.free <= 0 for one in self.line.machines.of(ticket)):
            return
        residencies = [one.residency for one in able]
        is_busy = any(one.loads or one.swaps or one.drains for one in residencies)
        assert is_busy or any(one.due() is not None for one in residencies), f"{target} is forgotten"

    # ── Decisions ──────────────────────────────────────────────────────────────────────────────────────────

    def go_on(self, leases: Iterable[Lease]) -> None:
        """Decide, as the scheduler does."""
        self._start(leases)
        for _ in range(1 + len(NAMES)):
            self._route()
            decisions = {one: one.residency.decide(self.now) for one in self.stations.values()}
            for station, decision in decisions.items():
                for effect in decision.effects:
                    self._carry_out(station, effect)
                self._start(decision.leases)
            if not any(decision.effects for decision in decisions.values()):
                return
        raise AssertionError("it is decided again and again")

    def _route(self) -> None:
        self.routes = self.router.decide(self.now) if self.line.waiting else Routes({})
        for target, error in self.routes.hopeless:
            for waiter in tuple(self.line.waiting):
                if waiter.ticket.group.wanted == target:
                    self._start(self.line.leave(waiter.ticket, self.now))
                    self._refused(error)

    def _count(self) -> None:
        at, so_many = self._moment
        self._moment = (self.now, so_many + 1 if at == self.now else 1)
        assert self._moment[1] < MOST_AT_ONCE, f"a loop at {self.now}"

    def _refused(self, error: GatewayError) -> None:
        self.counts["refused"] += 1
        self.counts[error.code] += 1

    def _start(self, leases: Iterable[Lease]) -> None:
        machines = self.line.machines
        for lease in leases:
            one, target = lease.instance, lease.ticket.group.wanted
            assert one.id.box not in machines.down, "the box is down"
            assert one.id.box not in machines.draining or target.box, "the box drains"
            assert one.id.box not in target.passed, "it has failed there"
            assert one.is_listed, "it isn't in memory"
            assert len(one.leases) <= one.slots
            self.counts["began"] += 1
            self.after(self.random.choice([0.1, 5.0, 60.0, 200.0]), lambda lease=lease: self.end(lease))  # type: ignore[misc]

    def end(self, lease: Lease) -> None:
        if lease.phase != "ended":
            self.go_on(self.line.release(lease, self.now))

    def _carry_out(self, station: RandomStation, effect: Effect) -> None:
        self._count()
        match effect:
            case Load():
                self._load(station, effect)
            case Unload():
                assert not effect.instance.leases, "a request runs on it"
                self.after(0.5, lambda: self._unloaded(station, effect.instance))
            case Refuse():
                self._refused(effect.error)
            case _:
                pass

    # ── Models ─────────────────────────────────────────────────────────────────────────────────────────────

    def _load(self, station: RandomStation, load: Load) -> None:
        target, life = load.target, station.life
        assert station.box.is_up, "a box that is down loads nothing"
        if not target.box:
            assert station.knows(target.model)
            assert self.line.machines.is_open(station.name, target)
            self._check_copies(station, target)
        self.loading[load] = station, life
        self.counts["loads"] += 1
        fails = not self.is_calm and self.random.random() < 0.3
        failure = LoadFailure(self.random.choice(FAILURES), "words") if fails else None  # type: ignore[arg-type]

        def ended() -> None:
            is_lost = life != station.life
            del self.loading[load]
            outcome = failure or Loaded(target.instance or target.model)
            if is_lost:
                outcome = LoadFailure("no_link", "it is gone")
            elif failure is None:
                slots = self.random.choice([1, 2, 4])
                self.go_on(self.line.put(self._instance(station, target, slots), self.now))
            station.residency.load_ended(load, outcome, self.now)
            self.go_on(())

        self.after(self.random.choice([1.0, 5.0, 30.0]), ended)

    def _instance(self, station: RandomStation, target: Wanted, slots: int) -> Instance:
        name = InstanceId(station.name, target.instance or target.model)
        return self.line.machines.instances.get(name) or Instance(name, target.model, slots)

    def _check_copies(self, station: RandomStation, target: Wanted) -> None:
        """One model is in memory twice only if the requests that it is loaded for have no free slot."""
        for load, (other, life) in self.loading.items():
            is_usable = self.line.machines.is_open(other.name, target) and life == other.life
            assert load.target.model != target.model or not is_usable, f"{target} is loaded twice"
        waiting = [one.ticket for one in self.line.waiting if one.ticket.group.wanted.model == target.model]
        waiting = [one for one in waiting if one.group.wanted.allows(station.name)]
        assert any(map(self._has_no_slot, waiting)), f"nobody needs {target} on {station.name}"

    def _has_no_slot(self, ticket: Ticket) -> bool:
        return all(one.free <= 0 or not one.is_listed for one in self.line.machines.of(ticket))

    def _unloaded(self, station: RandomStation, one: Instance) -> None:
        if one.is_listed:
            station.residency.unload_ended(one, Unloaded("gone"), self.now)
        self.go_on(())
