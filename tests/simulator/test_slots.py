"""The slots of an instance, the queue before them, and their KV cache: decisions without a clock."""

import pytest

from lmgateway.simulator import Pace
from lmgateway.simulator.engine.faults import CacheFull, InstanceUnloaded
from lmgateway.simulator.engine.occupancy import Occupancy
from lmgateway.simulator.engine.slots import Prefill, Slots, Use
from tests.support.clock import Clock


def slots_of(count: int, *, unified: bool = True, prefill: Prefill = "slow") -> Slots:
    return Slots(count, context_length=100, unified_cache=unified, prefill=prefill)


def joined(slots: Slots, number: int) -> list[Use]:
    uses = [Use("processingPrompt") for _ in range(number)]
    for use in uses:
        slots.join(use)
    return uses


def test_arrival_order():
    """A free slot goes to the request that has waited longest."""
    slots = slots_of(2)
    first, second, third, fourth = joined(slots, 4)
    assert (slots.running, list(slots.waiting)) == ([first, second], [third, fourth])
    slots.leave(second)
    assert (slots.running, list(slots.waiting)) == ([first, third], [fourth])
    assert third.awakened.is_set()
    assert not fourth.awakened.is_set()


def test_leaving_the_queue():
    """A waiting request that leaves frees no slot, and is never given one."""
    slots = slots_of(1)
    first, second, third = joined(slots, 3)
    slots.leave(second)
    assert (slots.running, list(slots.waiting)) == ([first], [third])
    slots.leave(first)
    slots.leave(first)
    assert (slots.running, list(slots.waiting)) == ([third], [])


def test_a_full_unified_cache_ends_all_that_run():
    """All requests in slots fail with "Channel Error", and those that waited run."""
    slots = slots_of(2)
    first, second, third = joined(slots, 3)
    slots.take(first, 60)
    slots.take(second, 40)
    first.check()
    slots.take(second, 1)
    for use in (first, second):
        with pytest.raises(CacheFull, match=r"^Channel Error$"):
            use.check()
    third.check()
    assert slots.running == [third]
    slots.leave(first)
    assert slots.running == [third]


@pytest.mark.parametrize(("unified", "number"), [(False, 2), (True, 1)])
def test_a_cache_of_ones_own(unified: bool, number: int):
    """Requests fill nobody else's cache without a unified one; a request alone isn't ended by this."""
    slots = slots_of(2, unified=unified)
    uses = joined(slots, number)
    for use in uses:
        slots.take(use, 101)
        use.check()
    assert slots.running == uses


def test_the_end_of_an_instance():
    """Requests that wait are awakened by it, to fail like those in slots."""
    slots = slots_of(1)
    uses = joined(slots, 2)
    slots.end_all(InstanceUnloaded)
    for use in uses:
        assert use.awakened.is_set()
        with pytest.raises(InstanceUnloaded):
            use.check()
    assert slots.uses == ()


@pytest.mark.parametrize(
    ("prefill", "load", "stalled"),
    [("stop", (1, 1), True), ("slow", (1, 1), False), ("ignore", (1, 0), False)],
)
def test_prompts_beside_a_generation(prefill: Prefill, load: tuple[int, int], stalled: bool):
    """A prompt's processing stops or slows the others, until it ends or its request leaves."""
    slots = slots_of(3, prefill=prefill)
    first, second, third = joined(slots, 3)
    slots.end_prompt(first)
    slots.end_prompt(second)
    slots.leave(second)
    assert (slots.load(), slots.is_stalled()) == (load, stalled)
    slots.leave(third)
    assert (slots.load(), slots.is_stalled()) == ((1, 0), False)


def test_speeds():
    """Four generations are each half as fast as one, so together twice as fast; two prompts each half."""
    pace = Pace()
    assert [pace.token_speed(number, 0) for number in (0, 1, 4)] == [1, 1, 0.5]
    assert pace.token_speed(4, 1) == 0.125
    assert [pace.prompt_speed(number) for number in (0, 1, 2)] == [1, 1, 0.5]
    plain = Pace(batch_exponent=0, beside_prompt=1)
    assert (plain.token_speed(4, 0), plain.token_speed(4, 1)) == (0.25, 0.25)


async def test_occupancy(monkeypatch: pytest.MonkeyPatch):
    """The ledger has the most at once, and the time in which at least one slot was taken."""
    clock, occupancy = Clock(monkeypatch), Occupancy()
    slots = Slots(
        2, context_length=100, unified_cache=True, prefill="slow", occupancies=[occupancy, Occupancy()]
    )
    await clock.pass_seconds(1000)
    first, second, third = joined(slots, 3)
    await clock.pass_seconds(10)
    slots.leave(third)
    slots.leave(second)
    assert occupancy.busy_seconds == pytest.approx(10, abs=5)
    await clock.pass_seconds(100)
    slots.leave(first)
    await clock.pass_seconds(1000)
    assert (occupancy.running, occupancy.queued) == (0, 0)
    assert (occupancy.most_running, occupancy.most_queued) == (2, 1)
    assert occupancy.busy_seconds == pytest.approx(110, abs=5)
