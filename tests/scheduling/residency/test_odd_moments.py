"""Which models are in memory when several things happen at once: an example for each."""

from __future__ import annotations

from collections import Counter

import pytest

from lmgateway.scheduling.residency.effects import DrainEnd, DrainStart, LoadFailure, SwapEnd
from lmgateway.scheduling.residency.terms import ResidencyTerms
from lmgateway.scheduling.tickets import Wanted
from tests.scheduling.residency.machine import BOX, NO_LINK, NO_MEMORY, Machine, Model
from tests.scheduling.schedule import ticket

MODELS = {"m1": Model(5.0), "m2": Model(5.0), "m3": Model(5.0)}
MISSING = LoadFailure("missing", "There is no such model.")
CANCELLED = LoadFailure("cancelled", "It was cancelled.")


def machine(**terms: object) -> Machine:
    return Machine(ResidencyTerms(**terms), MODELS)  # type: ignore[arg-type]


def ask(one: Machine, model: str, key: str = "alice", **facts: object):
    return one.ask(ticket(key, model=model, **facts))


def swap_results(one: Machine) -> list[str]:
    return [effect.result for effect in one.told if isinstance(effect, SwapEnd)]


def draining_for_m2(**terms: object) -> Machine:
    """m1 runs a request, and m2's has waited until m1 drains."""
    one = machine(**terms)
    ask(one, "m1", "a")
    one.run(6)
    ask(one, "m2", "b")
    one.run(30)
    assert one.in_memory["m1"].state == "draining"
    return one


def test_a_swap_that_needs_more_room_is_still_one_swap() -> None:
    """Without memory first the idle m1 goes, then m2, when its answer has ended."""
    one = machine(max_models=3)
    idle = ask(one, "m1")
    busy = ask(one, "m2")
    one.run(10)
    one.end(idle)
    one.outcomes["m3"] = [NO_MEMORY]
    third = ask(one, "m3", "b")
    one.run(16)
    assert [name for name, _, _ in one.unloads] == ["m1"]
    one.run(40)
    assert [(swap.state, swap.since) for swap in one.residency.swaps] == [("draining", 15.0)]
    one.end(busy)
    one.run(50)
    assert [name for name, _, _ in one.unloads] == ["m1", "m2"]
    assert third in one.line.running
    assert swap_results(one) == ["completed"]


def test_a_model_that_is_pinned_while_it_drains_stays() -> None:
    one = draining_for_m2(max_models=1)
    one.residency.change_terms(ResidencyTerms(max_models=2, pins=("m1",)))
    one.decide()
    assert one.in_memory["m1"].state == "resident"
    assert swap_results(one) == ["revoked"]
    one.run(40)
    assert sorted(one.in_memory) == ["m1", "m2"]
    assert one.unloads == []


def test_a_model_that_somebody_loads_while_it_drains_stays() -> None:
    one = draining_for_m2()
    one.in_memory["m1"].origin = "loaded"
    one.decide()
    one.run(60)
    assert sorted(one.in_memory) == ["m1", "m2"]
    assert one.unloads == []
    assert [type(effect) for effect in one.told] == [DrainStart, DrainEnd, SwapEnd]


def test_nothing_leaves_for_a_model_that_somebody_loads_beside() -> None:
    one = draining_for_m2()
    load = one.residency.begin_load(Wanted(BOX, "m2"), "llm", "loaded", one.now)
    one._load(load)
    one.decide()
    assert one.in_memory["m1"].state == "resident"
    one.run(60)
    assert sorted(one.in_memory) == ["m1", "m2"]
    assert swap_results(one) == ["revoked"]


def test_an_unload_in_progress_is_the_room_for_another_model() -> None:
    """m1 is being unloaded because it was idle: m2 needn't go for m3, too."""
    one = machine(max_models=2, idle_seconds=60.0)
    first = ask(one, "m1")
    one.run(5)
    one.end(first)
    second = ask(one, "m2")
    one.run(64)
    one.end(second)
    one.run(65.2)
    assert one.in_memory["m1"].state == "unloading"
    ask(one, "m3")
    one.run(72)
    assert sorted(one.in_memory) == ["m2", "m3"]


def test_of_the_busy_ones_and_one_without_work_the_latter_goes() -> None:
    """Its request waits for a limit of its key."""
    one = machine(max_models=2)
    one.limits["a"] = 1
    busy = ask(one, "m1", "a")
    other = ask(one, "m2", "b")
    one.run(10)
    one.end(other)
    ask(one, "m2", "a")
    assert len(one.line.waiting) == 1
    ask(one, "m3", "c")
    one.run(60)
    assert busy in one.line.running
    assert sorted(one.in_memory) == ["m1", "m3"]


def test_a_pin_that_is_missing_is_tried_once() -> None:
    one = machine(pins=("m1", "m2"), max_models=2)
    one.outcomes["m1"] = [MISSING] * 9
    one.residency.came_up()
    one.decide()
    one.run(60)
    assert [load.target.model for load in one.began] == ["m1", "m2"]


def test_a_pin_whose_load_is_cancelled_waits_for_a_request() -> None:
    one = machine(pins=("m1",))
    one.outcomes["m1"] = [CANCELLED]
    one.residency.came_up()
    one.decide()
    one.run(60)
    assert len(one.began) == 1
    asked = ask(one, "m1")
    one.run(70)
    assert asked in one.line.running


def test_a_pin_without_memory_is_tried_twice() -> None:
    """The second time when the idle ones are gone; the busy one stays, because nobody waits for the pin."""
    one = machine(pins=("m3",), max_models=3)
    busy = ask(one, "m1")
    idle = ask(one, "m2")
    one.run(10)
    one.end(idle)
    one.outcomes["m3"] = [NO_MEMORY] * 9
    one.residency.came_up()
    one.decide()
    one.run(60)
    assert [load.target.model for load in one.began] == ["m1", "m2", "m3", "m3"]
    assert [name for name, _, _ in one.unloads] == ["m2"]
    assert busy in one.line.running


def test_room_for_a_pin_isnt_made_again_and_again() -> None:
    """The idle model that is in its way runs a request of others, which only a count tells."""
    one = machine()
    idle = ask(one, "m1")
    one.run(5)
    one.end(idle)
    one.residency.change_terms(ResidencyTerms(pins=("m2",)))
    one.others["m1"] = 1
    asked = Counter[float]()
    carry_out, one._unload = one._unload, lambda effect: (asked.update([one.now]), carry_out(effect))  # type: ignore[method-assign, func-returns-value]
    one.residency.came_up()
    one.decide()
    one.run(20)
    assert max(asked.values()) == 1
    assert 1 < len(asked) < 10
    one.others["m1"] = 0
    one.run(40)
    assert sorted(one.in_memory) == ["m2"]


def test_the_pauses_grow_while_the_gateway_itself_frees_memory() -> None:
    """m2 finds no memory, also without m1, which is unloaded for it or when it has been idle.

    By hand: m2 is asked for at 10, 50, 90 …; it is tried and then not for 30, 60, 120, 240, 480 and 600 s.
    """
    one = machine(idle_seconds=20.0)
    one.outcomes["m2"] = [NO_MEMORY] * 99
    while one.now < 1600:
        asked = ask(one, "m1")
        one.run(one.now + 10)
        one.end(asked)
        ask(one, "m2")
        one.run(one.now + 30)
    assert [load.target.model for load in one.began].count("m2") == 6


def test_who_waits_for_anothers_load_doesnt_wait_for_the_link() -> None:
    """m2's request waits while m1 is loaded for longer than it may wait for a link."""
    one = Machine(ResidencyTerms(), {"m1": Model(35.0), "m2": Model(5.0)})
    one.outcomes["m1"] = [NO_LINK, NO_MEMORY]
    ask(one, "m1", "a")
    one.run(1)
    asked = ask(one, "m2", "b")
    one.run(100)
    assert asked in one.line.running


def test_no_pin_is_loaded_during_a_swap() -> None:
    """m3 waits under its own identifier until m1 has drained, and is a pin of the same model."""
    one = machine(max_models=2)
    busy = ask(one, "m1")
    one.run(5)
    one.outcomes["m3"] = [NO_MEMORY]
    asked = ask(one, "m3", "b", instance="m3")
    one.run(29)
    assert one.in_memory["m1"].state == "draining"
    one.residency.change_terms(ResidencyTerms(max_models=2, pins=("m3",)))
    one.residency.came_up()
    one.decide()
    one.run(35)
    one.end(busy)
    one.run(41)
    assert asked in one.line.running
    assert [load.target.model for load in one.began] == ["m1", "m3", "m3"]
    assert swap_results(one) == ["completed"]


def test_what_is_pinned_no_more_is_no_longer_to_be_loaded() -> None:
    """The configuration was read again before it was its turn."""
    one = machine(pins=("m1", "m2"), max_models=2)
    one.residency.came_up()
    one.decide()
    one.residency.change_terms(ResidencyTerms(pins=("m1",)))
    one.run(60)
    assert [load.target.model for load in one.began] == ["m1"]


@pytest.mark.parametrize("failure", [MISSING, CANCELLED], ids=["missing", "cancelled"])
def test_a_failed_load_ends_no_wait_for_a_model_that_is_there(failure: LoadFailure) -> None:
    """Somebody else has loaded it meanwhile, and requests wait for its slots."""
    one = machine()
    one.outcomes["m1"] = [failure]
    asked = [ask(one, "m1") for _ in range(6)]
    one.run(1)
    one.put("m1", name="theirs")
    one.run(5)
    while one.line.running:
        one.end(next(iter(one.line.running)))
    assert one.refused == []
    assert len(one.waits["alice"]) == len(asked)


def test_who_waits_for_a_machine_to_wake_up_is_not_refused_for_the_link() -> None:
    """The load failed because the machine slept. It answers after a minute, and then the model is loaded."""
    one = Machine(ResidencyTerms(), {"m1": Model(5.0)})
    one.outcomes["m1"] = [NO_LINK]
    is_up = True
    one.residency.concerns = lambda target: is_up
    asked = ask(one, "m1")
    one.run(5)
    is_up = False
    one.decide()
    one.run(65)
    one.residency.came_up()
    is_up = True
    one.decide()
    one.run(75)
    assert (asked in one.line.running, one.refused) == (True, [])
