"""A box in which anything may happen, in any order.

LM Studio's other users, admins, clients and the configuration act by chance; time passes in between.
"""

from __future__ import annotations

from random import Random

from lmgateway.scheduling.bounds import Refusal
from lmgateway.scheduling.residency.terms import ResidencyTerms
from lmgateway.scheduling.slots import Instance, Lease
from lmgateway.scheduling.tickets import Wanted
from lmgateway.schema.common import likely_type
from tests.scheduling.residency import invariants
from tests.scheduling.residency.random_box import BOX, FAILURES, KEYS, KINDS, MODELS, TERMS, RandomBox
from tests.scheduling.schedule import ticket


class World(RandomBox):
    """What happens to the box. The invariants are checked after its own events, and by `check`."""

    def __init__(self, random: Random, terms: ResidencyTerms = TERMS[0]) -> None:
        super().__init__(random, terms)
        self.after_each = self.check

    def check(self) -> None:
        invariants.check(self)

    # ── Requests ───────────────────────────────────────────────────────────────────────────────────────────

    def arrive(self, model: str, key: str, *, name: str | None = None, background: bool = False) -> None:
        one = ticket(
            key,
            model=model,
            instance=name,
            kind=likely_type(model),
            priority="background" if background else "interactive",
            max_wait=self.random.choice([60.0, 600.0, 600.0]),
        )
        self.counts["arrived"] += 1
        leases = self.line.arrive(one, self.now)
        assert not isinstance(leases, Refusal)
        self.go_on([leases] if isinstance(leases, Lease) else leases)

    def leave(self, index: int) -> None:
        waiters = list(self.line.waiting)
        if waiters:
            self.counts["left"] += 1
            self.go_on(self.line.leave(waiters[index % len(waiters)].ticket, self.now))

    def linger(self, index: int) -> None:
        running = [lease for lease in self.line.running.values() if lease.phase == "running"]
        if running:
            self.line.linger(running[index % len(running)], self.now + self.random.choice([1, 50]), self.now)
            self.go_on(())

    # ── Others ─────────────────────────────────────────────────────────────────────────────────────────────

    def others_load(self, model: str, name: str) -> None:
        """Somebody else loads a model, maybe one anew that was there."""
        if name in self.memory:
            self.others_unload(self.memory[name])
        self.put(model, name)

    def others_ask(self, one: Instance, seconds: float) -> None:
        """A request of others, which only a count tells."""
        self.others[one] += 1

        def ended() -> None:
            if self.others[one] > 0:
                self.others[one] -= 1

        self.after(seconds, ended)

    # ── Admins ─────────────────────────────────────────────────────────────────────────────────────────────

    def admin_load(self, model: str, name: str | None) -> None:
        """As `Wishes` does: it joins a load that is in progress."""
        target = Wanted(BOX, model, name)
        if not self.terms.enabled:
            return
        if any(loading.load.target == target for loading in self.residency.loads):
            self.residency.claim(target)
            return
        load = self.residency.begin_load(target, likely_type(model), "loaded", self.now)
        self._begin(load, ("refused", *FAILURES))
        self.go_on(())

    def adopt(self, model: str, name: str) -> None:
        if name not in self.memory:
            self.put(model, name)
        self.residency.adopt(name, self.random.choice([1.0, 20.0]), self.now)
        self.go_on(())

    def keep(self, one: Instance) -> None:
        """Somebody's load has this instance as its result."""
        if one.state != "unloading":
            self.asked.discard(one)
            self.residency.keep(one, self.now)
            self.go_on(())

    def ask_to_unload(self, one: Instance, *, force: bool, patience: float) -> None:
        self.asked.add(one)
        self.residency.ask_to_unload(one, force=force)
        self.go_on(())
        if not force:
            self.after(patience, lambda: self._take_back(one))

    def _take_back(self, one: Instance) -> None:
        if one in self.asked and one.state == "draining":
            self.asked.discard(one)
            self.residency.take_back(one, self.now)
            self.go_on(())

    # ── The configuration ──────────────────────────────────────────────────────────────────────────────────

    def change_terms(self, terms: ResidencyTerms) -> None:
        self.terms = terms
        for kind in KINDS:
            self.lowered_from[kind] = max(self.lowered_from.get(kind, 0), self.counted(kind))
        self.residency.change_terms(terms)
        self.go_on(self.line.change_terms(self.now))

    def came_up(self) -> None:
        self.residency.came_up()
        self.go_on(())

    def calm_down(self) -> None:
        """Let everything succeed from now on: then everything ends."""
        self.is_calm = True
        self.others.clear()
        if not self.terms.enabled:
            self.change_terms(TERMS[0])
        until = self.now + 3000
        while self.now < until and (self._events or self.line.waiting or self.residency.loads):
            self.wait(50)
        assert not self.line.waiting
        assert not self.line.running
        assert not self.loading
        assert not self.unloading
        assert not self.drains
        assert not self.residency.swaps
        assert not self.residency.drains
        assert all(one.state == "resident" for one in self.memory.values())


def _others(world: World, random: Random) -> None:
    there = list(world.memory.values())
    event = random.randrange(4)
    if event == 0:
        model = random.choice(MODELS)
        world.others_load(model, random.choice([model, model, f"{model}:2"]))
    elif there and event == 1:
        world.others_unload(random.choice(there))
    elif there:
        world.others_ask(random.choice(there), random.choice([3.0, 40.0]))


def _admin(world: World, random: Random) -> None:
    model, there = random.choice(MODELS), list(world.memory.values())
    event = random.randrange(7)
    if event == 0:
        world.admin_load(model, random.choice([None, None, f"{model}:2"]))
    elif event == 1:
        world.adopt(model, f"{model}:{random.choice([2, 3])}")
    elif event == 2:
        world.change_terms(random.choice(TERMS))
    elif event == 3:
        world.came_up()
    elif there and event == 4:
        world.keep(random.choice(there))
    elif there:
        patience = random.choice([1.0, 30.0])
        world.ask_to_unload(random.choice(there), force=random.random() < 0.3, patience=patience)


def walk(random: Random, steps: int) -> World:
    """Let so many events happen, each of which is checked, and then everything succeed."""
    world = World(random, random.choice(TERMS))
    models = random.sample(MODELS, random.choice([2, 3, 5]))
    for _ in range(steps):
        event = random.randrange(20)
        if event < 9:
            model = random.choice(models)
            name = random.choice([None] * 8 + [model, f"{model}:2"])
            world.arrive(model, random.choice(KEYS), name=name, background=random.random() < 0.2)
        elif event < 10:
            world.leave(random.randrange(100))
        elif event < 11:
            world.linger(random.randrange(100))
        elif event < 13:
            _others(world, random)
        elif event < 15:
            _admin(world, random)
        else:
            world.wait(random.choice([0.1, 2.0, 20.0, 100.0]))
        world.check()
    world.calm_down()
    return world
