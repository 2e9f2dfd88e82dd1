"""A box whose LM Studio does what the residency decides, with outcomes by chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from math import inf
from random import Random

from lmgateway.errors import StudioFailed, UpstreamUnavailable
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
from lmgateway.scheduling.slots import Instance, InstanceId, Lease, assumed
from lmgateway.scheduling.tickets import Terms, Ticket, Wanted
from lmgateway.schema.common import ModelType, likely_type
from tests.scheduling.timeline import Timeline

BOX = "lmstudio"
MODELS = ("m1", "m2", "m3", "text-embedding-a", "text-embedding-b")
KINDS: tuple[ModelType, ...] = ("llm", "embedding")
KEYS = ("alice", "bob", "carol")
LIMITS = {"alice": 2, "bob": None, "carol": None}
COUNT_SECONDS = 2.0
# More effects in one moment are a loop.
MOST_AT_ONCE = 60
FAILURES = ("other", "missing", "no_memory", "no_memory", "no_memory", "no_link", "no_link", "cancelled")
TERMS = (
    ResidencyTerms(),
    ResidencyTerms(max_models=2, idle_seconds=30.0),
    ResidencyTerms(max_models=3, idle_seconds=inf, switch_seconds=0.0),
    ResidencyTerms(pins=("m1",)),
    ResidencyTerms(max_models=2, pins=("m1", "text-embedding-a"), idle_seconds=60.0),
    ResidencyTerms(max_models=2, pins=("m3", "m2")),
    ResidencyTerms(enabled=False),
)


class RandomBox(Timeline):
    """`random` decides how long things take, and what comes of them."""

    def __init__(self, random: Random, terms: ResidencyTerms = TERMS[0]) -> None:
        super().__init__()
        self.random = random
        self.terms = terms
        self.line = Line(terms=lambda key: Terms(1.0, LIMITS[key]), assume=self._assume)
        self.residency = Residency(BOX, self.line, terms)
        self.others: Counter[Instance] = Counter()
        self.is_calm = False
        # It is called after each event.
        self.after_each: Callable[[], None] = lambda: None
        self.counts: Counter[str] = Counter()
        self.drains: Counter[Instance] = Counter()
        self.swaps: list[object] = []
        self.loading: list[Load] = []
        self.unloading: list[Instance] = []
        self.asked: set[Instance] = set()
        self.lowered_from: dict[ModelType, int] = {}
        self._passing: frozenset[str] = frozenset()
        self._is_counting = False
        self._moment = (0.0, 0)

    def _assume(self, one: Ticket) -> object:
        prospects = self.residency.prospects
        return prospects.absence if self.terms.enabled or prospects.is_leaving(one) else assumed(one)

    # ── Time ───────────────────────────────────────────────────────────────────────────────────────────────

    def dues(self) -> Iterable[float | None]:
        return self.line.due(), self.residency.due()

    def tick(self) -> None:
        self._count("tick")
        expired, leases = self.line.tick(self.now)
        self.counts["expired"] += len(expired)
        self.go_on(leases)

    def moved(self) -> None:
        self.after_each()

    def _count(self, what: str) -> None:
        at, so_many = self._moment
        self._moment = (self.now, so_many + 1 if at == self.now else 1)
        self.counts[what] += 1
        assert self._moment[1] < MOST_AT_ONCE, f"a loop of {what} at {self.now}"

    # ── Memory ─────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def memory(self) -> dict[str, Instance]:
        everything = self.line.machines.instances.values()
        return {one.id.name: one for one in everything if one.is_listed}

    def put(self, model: str, name: str) -> None:
        slots = self.random.choice([1, 2, 4])
        self.go_on(self.line.put(Instance(InstanceId(BOX, name), model, slots, likely_type(model)), self.now))

    def others_unload(self, one: Instance) -> None:
        self.others.pop(one, None)
        if one.is_listed:
            self.go_on(self.line.remove(one, self.now))

    def _look(self) -> None:
        """Count what runs, as the watch does."""
        for one in list(self.memory.values()):
            if one.is_listed:
                lingering = sum(lease.phase == "lingering" for lease in one.leases)
                counted = len(one.leases) - self.random.choice([0, lingering]) + self.others[one]
                self.go_on(self.line.observe(one, counted, self.now))
        self._is_counting = self._needs_counts()
        if self._is_counting:
            self.after(COUNT_SECONDS, self._look)
        else:
            for one in self.memory.values():
                self.go_on(self.line.observe(one, len(one.leases), self.now))

    def _needs_counts(self) -> bool:
        return bool(self.line.waiting) or self.line.lingering > 0 or self.residency.drains

    # ── Effects ────────────────────────────────────────────────────────────────────────────────────────────

    def go_on(self, leases: Iterable[Lease]) -> None:
        self._start(leases)
        decision = self.residency.decide(self.now)
        for effect in decision.effects:
            self._count(type(effect).__name__)
            self._carry_out(effect)
        drain = {effect.instance for effect in decision.effects if isinstance(effect, DrainStart)}
        self._start(decision.leases, drain)
        self.swaps += [swap for swap in self.residency.swaps if swap not in self.swaps]
        if not self._is_counting and self._needs_counts():
            self._is_counting = True
            self.after(COUNT_SECONDS, self._look)

    def _start(self, leases: Iterable[Lease], drain: Collection[Instance] = ()) -> None:
        """Let requests run; instances that began to `drain` in the same moment did it afterwards."""
        for lease in leases:
            one = lease.instance
            assert one.is_listed or not self.terms.enabled, "a request runs on what isn't in memory"
            assert one.state == "resident" or one in drain, one.state
            assert len(one.leases) <= max(one.slots - one.outside, 1)
            self.counts["began"] += 1
            seconds = self.random.choice([0.1, 5.0, 5.0, 60.0, 300.0])
            self.after(seconds, lambda lease=lease: self.end(lease))  # type: ignore[misc]

    def end(self, lease: Lease) -> None:
        if lease.phase != "ended":
            self.go_on(self.line.release(lease, self.now))

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Load():
                self._begin_own(effect)
            case Unload():
                self._unload(effect)
            case Refuse():
                assert effect.ticket not in self.line.waiting
                assert effect.ticket not in self.line.running
                self.counts[effect.error.code] += 1
            case DrainStart():
                assert not self.drains[effect.instance], "it drains already"
                self.drains[effect.instance] = 1
            case DrainEnd():
                assert self.drains[effect.instance], "it wasn't said to drain"
                del self.drains[effect.instance]
            case SwapEnd():
                self.counts[effect.result] += 1

    # ── Loads ──────────────────────────────────────────────────────────────────────────────────────────────

    def _begin_own(self, load: Load) -> None:
        assert self.terms.enabled
        target = load.target
        assert not self.is_there(target), f"{target} is in memory"
        assert target not in [other.target for other in self.loading], f"{target} is loaded twice"
        assert not any(
            other.target.model == target.model for other in self.loading if not (other.target.instance or "")
        )
        if target.model not in self.terms.pins:
            room = self.terms.max_models - self.pins(load.kind)
            assert self.counted(load.kind) <= room, f"no room for {target}"
        self._begin(load, FAILURES)

    def is_there(self, target: Wanted) -> bool:
        if target.instance is not None:
            return target.instance in self.memory
        return any(one.model == target.model for one in self.memory.values())

    def counted(self, kind: str) -> int:
        """How many models are in memory or loaded for requests, beside the pins."""
        there = [one.model for one in self.memory.values() if (one.kind, one.origin) == (kind, "on-demand")]
        coming = [one for one in self.residency.loads if (one.load.kind, one.origin) == (kind, "on-demand")]
        there += [one.load.target.model for one in coming]
        return len([model for model in there if model not in self.terms.pins])

    def pins(self, kind: str) -> int:
        return len([pin for pin in self.terms.pins if likely_type(pin) == kind])

    def _begin(self, load: Load, failures: tuple[str, ...]) -> None:
        self.loading.append(load)
        seconds = self.random.choice([0.0, 1.0, 5.0, 5.0, 30.0, 400.0])
        fails = not self.is_calm and self.random.random() < 0.4
        reason = self.random.choice(failures) if fails else None
        if reason is None:
            self.after(seconds, lambda: self._loaded(load))
        else:
            outside = [name for name, one in self.memory.items() if one.origin == "outside"]
            passing = frozenset(name for name in outside if self.random.random() < 0.5)
            failure = LoadFailure(reason, "words", passing)  # type: ignore[arg-type]
            self.after(seconds, lambda: self._ended(load, failure))

    def _loaded(self, load: Load) -> None:
        """It is in LM Studio's list a moment before the load is known to have ended."""
        name = load.target.instance or load.target.model
        was_there = name in self.memory
        if not was_there:
            self.put(load.target.model, name)
            self.after_each()
        outcome = Loaded(name, was_there=was_there)
        self.after(self.random.choice([0.0, 0.3]), lambda: self._ended(load, outcome))

    def _ended(self, load: Load, outcome: LoadOutcome) -> None:
        self.loading.remove(load)
        if isinstance(outcome, LoadFailure) and outcome.reason == "no_memory":
            self._passing = outcome.passing
        self.residency.load_ended(load, outcome, self.now)
        self.go_on(())

    # ── Unloads ────────────────────────────────────────────────────────────────────────────────────────────

    def _unload(self, unload: Unload) -> None:
        one = unload.instance
        assert one not in self.unloading, "it is unloaded twice"
        assert one.is_listed, "it isn't in memory"
        assert not one.leases or unload.is_forced, "a request runs on it"
        if one not in self.asked:
            is_passing = one.origin == "outside" and one.id.name in self._passing
            assert one.origin == "on-demand" or is_passing, f"{one.id.name} is {one.origin}"
            assert one.model not in self.terms.pins or is_passing, "it is pinned"
        self.unloading.append(one)
        self.after(self.random.choice([0.0, 0.5]), lambda: self._counted_before(unload))

    def _counted_before(self, unload: Unload) -> None:
        one, chance = unload.instance, 1.0 if self.is_calm else self.random.random()
        assert not one.leases or unload.is_forced or not one.is_listed, "a request was let in meanwhile"
        if one.is_listed and not unload.is_forced and self.others[one]:
            self._unloaded(one, Unloaded("busy", self.others[one]))
        elif chance < 0.15:
            error = self.random.choice([StudioFailed("it failed"), UpstreamUnavailable("no link")])
            self._unloaded(one, Unloaded("failed", error=error))
        elif chance < 0.2 and one not in self.asked and one.origin == "on-demand":
            self._unloaded(one, Unloaded("kept"))
        else:
            self.after(0.5, lambda: self._gone(one))

    def _gone(self, one: Instance) -> None:
        if self.random.random() < 0.5:  # the list was read before the call has ended
            self.others_unload(one)
        self._unloaded(one, Unloaded("gone"))

    def _unloaded(self, one: Instance, unloaded: Unloaded) -> None:
        self.unloading.remove(one)
        if unloaded.outcome == "gone":
            self.others.pop(one, None)
        if unloaded.outcome in {"gone", "failed"}:
            self.asked.discard(one)
        self.residency.unload_ended(one, unloaded, self.now)
        self.go_on(())
