"""The line over random schedules: what must hold after every event."""

from __future__ import annotations

import os
from random import Random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from lmgateway.scheduling.slots import Lease
from tests.scheduling.world import KEYS, MOST_OTHERS, MOST_WAITING, PAUSES, SIZES, USERS, World, walk

SCHEDULES = int(os.environ.get("LMGATEWAY_SCHEDULES", "10000"))


class Lines(RuleBasedStateMachine):
    """A world whose events hypothesis chooses, and makes fewer of if one fails."""

    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @rule(
        target=leases,
        key=st.sampled_from(KEYS),
        background=st.booleans(),
        size=st.sampled_from(SIZES),
        user=st.sampled_from(USERS),
    )
    def arrive(self, key: str, background: bool, size: int, user: str | None) -> object:
        return multiple(*self.world.arrive(key, background, size, user))

    @rule(target=leases, lease=consumes(leases))
    def end(self, lease: Lease) -> object:
        return multiple(*self.world.end(lease))

    @rule(lease=leases)
    def linger(self, lease: Lease) -> None:
        self.world.linger(lease)

    @rule(target=leases, index=st.integers(0, MOST_WAITING - 1))
    def leave(self, index: int) -> object:
        return multiple(*self.world.leave(index))

    @rule(target=leases, seconds=st.sampled_from(PAUSES))
    def wait(self, seconds: float) -> object:
        return multiple(*self.world.wait(seconds))

    @rule(target=leases, index=st.integers(0, 1), others=st.integers(0, MOST_OTHERS))
    def observe(self, index: int, others: int) -> object:
        return multiple(*self.world.observe(index, others))

    @invariant()
    def check(self) -> None:
        self.world.check()


TestLines = Lines.TestCase


@pytest.mark.parametrize(
    "schedules", [300, pytest.param(SCHEDULES, marks=[pytest.mark.long, pytest.mark.timeout(600)])]
)
def test_random_schedules(schedules: int) -> None:
    """Never more than the slots, nobody forgotten, one end each, and accounts that add up.

    A failure is repeated with `walk(Random(seed), 50)`.
    """
    ended = refused = 0
    for seed in range(schedules):
        world = walk(Random(seed), 50)
        ended, refused = ended + world.ended, refused + world.refused
    # They did something: requests ended, and some were refused.
    assert ended > schedules
    assert refused > 0
