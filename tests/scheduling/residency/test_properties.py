"""Which models are in memory over random schedules: what must hold after every event."""

from __future__ import annotations

import os
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lmgateway.scheduling.residency.swaps import TURN_SECONDS
from lmgateway.scheduling.residency.terms import ResidencyTerms
from lmgateway.scheduling.tickets import Account
from tests.scheduling.residency.machine import Machine, Model
from tests.scheduling.residency.random_box import KEYS, MODELS, TERMS
from tests.scheduling.residency.world import World, walk
from tests.scheduling.schedule import Client
from tests.support.properties import checked

# Each takes about 25 ms.
SCHEDULES = int(os.environ.get("LMGATEWAY_SCHEDULES", "10000"))
SECONDS = 2000.0
UNLOAD = 0.5
few = settings(checked, max_examples=20)
models = st.sampled_from(MODELS)
indices = st.integers(0, 9)


class Boxes(RuleBasedStateMachine):
    """A world whose events hypothesis chooses, and makes fewer of if one fails."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(Random(0))

    @initialize(seed=st.integers(0, 2**16), terms=st.sampled_from(TERMS))
    def begin(self, seed: int, terms: ResidencyTerms) -> None:
        self.world = World(Random(seed), terms)

    @rule(model=models, key=st.sampled_from(KEYS), name=st.sampled_from(["", ":2"]), background=st.booleans())
    def arrive(self, model: str, key: str, name: str, background: bool) -> None:
        self.world.arrive(model, key, name=model + name if name else None, background=background)

    @rule(index=indices)
    def leave(self, index: int) -> None:
        self.world.leave(index)

    @rule(index=indices)
    def linger(self, index: int) -> None:
        self.world.linger(index)

    @rule(seconds=st.sampled_from([0.1, 2.0, 20.0, 100.0]))
    def wait(self, seconds: float) -> None:
        self.world.wait(seconds)

    @rule(model=models, name=st.sampled_from(["", ":2"]))
    def others_load(self, model: str, name: str) -> None:
        self.world.others_load(model, model + name)

    @rule(index=indices, event=st.sampled_from(["unload", "ask", "keep", "admin", "force"]))
    def touch(self, index: int, event: str) -> None:
        there = list(self.world.memory.values())
        if not there:
            return
        one = there[index % len(there)]
        match event:
            case "unload":
                self.world.others_unload(one)
            case "ask":
                self.world.others_ask(one, 40.0)
            case "keep":
                self.world.keep(one)
            case _:
                self.world.ask_to_unload(one, force=event == "force", patience=30.0)

    @rule(model=models, name=st.sampled_from([None, ":2"]))
    def admin_load(self, model: str, name: str | None) -> None:
        self.world.admin_load(model, None if name is None else model + name)

    @rule(model=models)
    def adopt(self, model: str) -> None:
        self.world.adopt(model, f"{model}:3")

    @rule(terms=st.sampled_from(TERMS))
    def change_terms(self, terms: ResidencyTerms) -> None:
        self.world.change_terms(terms)

    @rule()
    def came_up(self) -> None:
        self.world.came_up()

    @invariant()
    def check(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        self.world.calm_down()


TestBoxes = Boxes.TestCase
TestBoxes.settings = settings(checked, max_examples=30, stateful_step_count=30)


@pytest.mark.parametrize(
    "schedules", [100, pytest.param(SCHEDULES, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]
)
def test_random_schedules(schedules: int) -> None:
    """What `World.check` says, and in the end everything has ended.

    A failure is repeated with `walk(Random(seed), 30)`.
    """
    completed = revoked = began = 0
    for seed in range(schedules):
        counts = walk(Random(seed), 30).counts
        completed, revoked = completed + counts["completed"], revoked + counts["revoked"]
        began += counts["began"]
    # They did something: requests ran, and models took the place of others, and didn't.
    assert began > 5 * schedules
    assert completed > schedules // 10
    assert revoked > 0


# ── Constant demand ────────────────────────────────────────────────────────────────────────────────────────


def constant(name: str, model: str, seed: int, longest: float, outstanding: int = 5) -> Client:
    random = Random(seed)
    return Client(name, outstanding, lambda: random.uniform(longest / 5, longest), {"model": model})


two_models = given(
    loads=st.tuples(st.floats(1.0, 30.0), st.floats(1.0, 30.0)),
    longest=st.sampled_from([2.0, 10.0, 40.0]),
    seed=st.integers(0, 99),
)


def demand(loads: tuple[float, float], longest: float, seed: int, **terms: float) -> Machine:
    """Two keys, each with a model of its own, that always have five requests."""
    one = Machine(
        ResidencyTerms(**terms),  # type: ignore[arg-type]
        {"m1": Model(loads[0]), "m2": Model(loads[1])},
        unload_seconds=UNLOAD,
    )
    one.keep_busy(constant("a", "m1", seed, longest), constant("b", "m2", seed + 1, longest))
    return one


@few
@two_models
def test_loads_take_their_share_of_the_time_and_one_load(
    loads: tuple[float, float], longest: float, seed: int
) -> None:
    """No residence reaches the longest one of 120 s, so the share is kept whatever the loads take."""
    one = demand(loads, longest, seed)
    for until in range(100, int(SECONDS), 100):
        one.run(until)
        loading = sum(min(ended, until) - began for _, began, ended in one.loads)
        loading += sum(until - load.since for load in one.residency.loads)
        # The first model is loaded in any case, before there is anything to share.
        assert loading <= 0.2 * until + sum(loads)
    assert len(one.loads) > 4


@few
@two_models
def test_no_key_gets_far_ahead_of_another_with_its_own_model(
    loads: tuple[float, float], longest: float, seed: int
) -> None:
    """At most what passes until the other's model is there, and what its answers take."""
    one = demand(loads, longest, seed)
    stay = max(20.0, *(4 * load for load in loads))
    bound = stay + TURN_SECONDS + longest + UNLOAD + max(loads) + 4 * longest
    one.run(100)
    while one.now < SECONDS:
        one.run(one.now + 10)
        one.line.accounts.advance(one.now)
        times = {account: standing.time for account, standing in one.line.accounts.standings()}
        assert abs(times[Account("a")] - times[Account("b")]) <= bound


@few
@given(
    load=st.floats(1.0, 25.0),
    longest=st.sampled_from([2.0, 10.0, 40.0]),
    at=st.floats(50.0, 200.0),
    seed=st.integers(0, 99),
)
def test_who_is_not_ahead_waits_for_the_swap_and_one_answer(
    load: float, longest: float, at: float, seed: int
) -> None:
    """Three keys keep a model busy; another one asks for another model."""
    one = Machine(ResidencyTerms(), {"m1": Model(load), "m2": Model(load)}, unload_seconds=UNLOAD)
    one.keep_busy(*(constant(f"key {number}", "m1", seed + number, longest) for number in range(3)))
    late = Client("late", 1, lambda: 1.0, {"model": "m2"}, begins=at, ends=at + 0.5)
    one.keep_busy(late)
    one.run(at + 400)
    rest = max(load + 4 * load - at, 20.0)
    assert one.waits["late"][0] <= rest + TURN_SECONDS + longest + UNLOAD + load + 1e-6
