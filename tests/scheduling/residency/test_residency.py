"""Which models are in memory: an example for each rule."""

from __future__ import annotations

import pytest

from lmgateway.scheduling.residency.effects import DrainEnd, DrainStart, SwapEnd
from lmgateway.scheduling.residency.terms import ResidencyTerms
from tests.scheduling.residency.machine import BROKEN, NO_LINK, NO_MEMORY, Machine, Model
from tests.scheduling.schedule import ticket

MODELS = {"m1": Model(5.0), "m2": Model(5.0), "m3": Model(5.0)}


def machine(**terms: object) -> Machine:
    return Machine(ResidencyTerms(**terms), MODELS)  # type: ignore[arg-type]


def ask(one: Machine, model: str, key: str = "alice", **facts: object):
    return one.ask(ticket(key, model=model, **facts))


def codes(one: Machine) -> list[str]:
    return [error.code for _, error in one.refused]


def test_twenty_at_once_for_an_absent_model_load_it_once() -> None:
    one = machine()
    waiting = [ask(one, "m1", key) for _ in range(4) for key in "abcde"]
    one.run(4.9)
    assert [load.target.model for load in one.began] == ["m1"]
    assert not one.line.running
    one.run(5.0)
    assert len(one.line.running) == 4
    assert one.in_memory["m1"].origin == "on-demand"
    while one.line.running:
        one.end(next(iter(one.line.running)))
    assert len(waiting) == 20
    assert len(one.began) == 1


def test_with_room_a_model_is_loaded_beside_the_others() -> None:
    one = machine(max_models=2)
    ask(one, "m1")
    one.run(5)
    ask(one, "m2")
    one.run(10)
    assert sorted(one.in_memory) == ["m1", "m2"]
    assert len(one.line.running) == 2
    assert one.unloads == []


def test_an_idle_model_that_nobody_waits_for_goes_at_once() -> None:
    one = machine()
    first = ask(one, "m1")
    one.run(5)
    one.end(first)
    ask(one, "m2")
    one.run(10.5)
    assert one.unloads == [("m1", 5.0, 0)]
    assert sorted(one.in_memory) == ["m2"]
    assert [effect.result for effect in one.told if isinstance(effect, SwapEnd)] == ["completed"]


def test_the_least_recently_used_one_goes() -> None:
    one = machine(max_models=2)
    for model in ("m1", "m2"):
        asked = ask(one, model)
        one.run(one.now + 5)
        one.end(asked)
    again = ask(one, "m1")
    one.run(20)
    one.end(again)
    ask(one, "m3")
    one.run(30)
    assert [name for name, _, _ in one.unloads] == ["m2"]


def test_a_running_answer_is_never_cut_off() -> None:
    """By hand: m2's request arrives at 6; m1 was loaded at 5, its load took 5 s, so it stays until 25, and
    the request has waited 20 s at 26. Then m1 drains, until its answer ends at 40."""
    one = machine()
    first = ask(one, "m1", "a")
    one.run(6)
    second = ask(one, "m2", "b")
    one.run(25.9)
    assert one.told == []
    one.run(26)
    assert [(type(effect), effect.wanted) for effect in one.told] == [(DrainStart, "m2")]
    late = ask(one, "m1", "a")
    one.run(40)
    assert one.unloads == []
    one.end(first)
    one.run(46)
    assert one.unloads == [("m1", 40.0, 0)]
    assert second in one.line.running
    assert [waiter.ticket for waiter in one.line.waiting] == [late]


def test_a_drain_that_nobody_waits_for_any_more_is_taken_back() -> None:
    one = machine()
    ask(one, "m1", "a")
    one.run(6)
    second = ask(one, "m2", "b")
    one.run(30)
    late = ask(one, "m1", "a")
    assert one.in_memory["m1"].state == "draining"
    one.leave(second)
    assert one.in_memory["m1"].state == "resident"
    assert late in one.line.running
    assert [type(effect) for effect in one.told] == [DrainStart, DrainEnd, SwapEnd]
    assert one.told[1].outcome == one.told[2].result == "revoked"


def test_pins_in_the_way_are_named_at_once() -> None:
    one = machine(pins=("m1",))
    one.residency.came_up()
    one.decide()
    one.run(5)
    assert one.in_memory["m1"].origin == "loaded"
    ask(one, "m2")
    assert codes(one) == ["model_blocked"]
    assert "m1" in one.refused[0][1].message


def test_pins_are_loaded_one_after_the_other() -> None:
    one = machine(pins=("m1", "m2"), max_models=2)
    one.residency.came_up()
    one.decide()
    assert [load.target.model for load in one.began] == ["m1"]
    one.run(5)
    assert [load.target.model for load in one.began] == ["m1", "m2"]
    one.run(10)
    assert sorted(one.in_memory) == ["m1", "m2"]


def test_a_pin_that_somebody_unloaded_is_loaded_for_the_next_request() -> None:
    one = machine(pins=("m1",))
    one.residency.came_up()
    one.decide()
    one.run(5)
    one.lose(one.in_memory["m1"])
    one.run(100)
    assert len(one.began) == 1
    asked = ask(one, "m1")
    one.run(105)
    assert asked in one.line.running
    assert one.in_memory["m1"].origin == "loaded"


def test_a_model_idle_for_too_long_is_unloaded() -> None:
    one = machine(idle_seconds=60.0)
    asked = ask(one, "m1")
    one.run(10)
    one.end(asked)
    one.run(69.9)
    assert one.unloads == []
    one.run(71)
    assert one.unloads == [("m1", 70.0, 0)]


def test_a_request_of_others_keeps_an_idle_model() -> None:
    one = machine(idle_seconds=60.0)
    asked = ask(one, "m1")
    one.run(10)
    one.end(asked)
    one.others["m1"] = 1
    one.run(75)
    assert one.in_memory["m1"].state == "resident"
    one.others["m1"] = 0
    one.run(131)
    assert one.unloads == [("m1", 130.0, 0)]


@pytest.mark.parametrize("origin", ["outside", "loaded"])
def test_what_somebody_loaded_is_never_unloaded(origin: str) -> None:
    one = machine(idle_seconds=60.0)
    there = one.put("m1")
    there.origin = origin  # type: ignore[assignment]
    ask(one, "m2")
    one.run(300)
    assert sorted(one.in_memory) == ["m1", "m2"]


def test_without_memory_the_idle_ones_go_and_it_is_tried_once_more() -> None:
    one = machine(max_models=3)
    for model in ("m1", "m2"):
        asked = ask(one, model)
        one.run(one.now + 5)
        one.end(asked)
    one.outcomes["m3"] = [NO_MEMORY]
    asked = ask(one, "m3")
    one.run(15)
    assert sorted(name for name, _, _ in one.unloads) == ["m1", "m2"]
    one.run(20.5)
    assert asked in one.line.running


def test_a_second_lack_of_memory_is_told_and_then_not_tried_for_a_while() -> None:
    """30 s, then 60 s."""
    one = machine(max_models=2)
    first = ask(one, "m1")
    one.run(5)
    one.end(first)
    one.outcomes["m3"] = [NO_MEMORY, NO_MEMORY, NO_MEMORY]
    ask(one, "m3")
    one.run(15.5)
    assert codes(one) == ["load_failed"]
    assert "Insufficient system resources." in one.refused[0][1].message
    ask(one, "m3")
    assert codes(one) == ["load_failed"] * 2
    assert len(one.began) == 3
    one.run(15.5 + 30)
    ask(one, "m3")
    assert len(one.began) == 4
    one.run(60)
    assert codes(one) == ["load_failed"] * 3
    one.run(50.5 + 59.9)
    ask(one, "m3")
    assert len(one.began) == 4
    one.run(50.5 + 60)
    ask(one, "m3")
    assert len(one.began) == 5


def test_without_memory_beside_those_that_stay_they_are_named() -> None:
    one = machine()
    one.put("m1", name="mine")
    one.outcomes["m2"] = [NO_MEMORY]
    ask(one, "m2")
    one.run(5)
    assert codes(one) == ["model_blocked"]
    assert "mine" in one.refused[0][1].message
    one.lose(one.in_memory["mine"])
    asked = ask(one, "m2")
    one.run(10)
    assert asked in one.line.running


def test_a_failing_load_refuses_all_that_wait_for_it() -> None:
    one = machine()
    one.outcomes["m1"] = [BROKEN]
    for key in "abc":
        ask(one, "m1", key)
    one.run(5)
    assert codes(one) == ["load_failed"] * 3
    assert not one.line.waiting
    assert "The model is damaged." in one.refused[0][1].message


def test_without_the_link_requests_wait_for_it_for_half_a_minute() -> None:
    one = machine()
    one.outcomes["m1"] = [NO_LINK] * 100
    ask(one, "m1")
    one.run(6)
    assert [waiter.reason for waiter in one.line.waiting] == ["box"]
    one.run(34.9)
    assert codes(one) == []
    one.run(35)
    assert codes(one) == ["upstream_unavailable"]


def test_when_the_link_is_back_the_model_is_loaded() -> None:
    one = machine()
    one.outcomes["m1"] = [NO_LINK, NO_LINK]
    asked = ask(one, "m1")
    one.run(5 + 2 + 5 + 2 + 5)
    assert asked in one.line.running


def test_others_requests_keep_a_model_that_is_to_be_replaced() -> None:
    one = machine()
    first = ask(one, "m1")
    one.run(5)
    one.end(first)
    one.others["m1"] = 1
    ask(one, "m2")
    one.run(8)
    assert one.in_memory["m1"].state == "resident"
    assert one.in_memory["m1"].outside == 1
    one.run(26)
    assert one.in_memory["m1"].state == "draining"
    one.others["m1"] = 0
    one._go_on(one.line.observe(one.in_memory["m1"], 0, one.now))
    one.run(40)
    assert sorted(one.in_memory) == ["m2"]


def test_the_next_in_turn_is_loaded_first() -> None:
    one = machine()
    ask(one, "m1", "a")
    ask(one, "m2", "b", priority="background")
    ask(one, "m3", "c")
    one.run(5)
    assert [load.target.model for load in one.began] == ["m1"]


def test_embedding_models_have_room_of_their_own() -> None:
    one = machine()
    ask(one, "m1")
    ask(one, "text-embedding-x", kind="embedding")
    one.run(5)
    assert sorted(one.in_memory) == ["m1", "text-embedding-x"]


def test_who_asks_for_an_unload_waits_for_the_answers() -> None:
    one = machine()
    running = ask(one, "m1")
    one.run(5)
    one.residency.ask_to_unload(one.in_memory["m1"])
    one.decide()
    late = ask(one, "m1")
    one.run(10)
    assert one.unloads == []
    one.end(running)
    one.run(10.5)
    assert one.unloads == [("m1", 10.0, 0)]
    one.run(16)
    assert late in one.line.running  # it was loaded again


def test_an_unload_can_be_taken_back_or_forced() -> None:
    one = machine()
    ask(one, "m1")
    one.run(5)
    there = one.in_memory["m1"]
    one.residency.ask_to_unload(there)
    one.decide()
    one.residency.take_back(there, one.now)
    one.decide()
    assert there.state == "resident"
    one.residency.ask_to_unload(there, force=True)
    one.decide()
    one.run(6)
    assert one.unloads == [("m1", 5.0, 1)]


def test_a_later_ask_takes_no_force_back() -> None:
    """While LM Studio is asked what runs on it, another one asks for the same with patience."""
    one = machine()
    first = ask(one, "m1")
    one.run(5)
    one.end(first)
    there = one.in_memory["m1"]
    one.others["m1"] = 1
    one.residency.ask_to_unload(there)
    one._go_on(())
    one.residency.ask_to_unload(there, force=True)
    one.residency.ask_to_unload(there)
    one.run(6)
    assert one.unloads == [("m1", 5.0, 0)]


def test_others_requests_have_an_unload_drain() -> None:
    """LM Studio counts them when it is about to be unloaded: it drains from then on, and lets nobody in."""
    one = machine()
    first = ask(one, "m1")
    one.run(5)
    one.end(first)
    there = one.in_memory["m1"]
    one.others["m1"] = 1
    one.residency.ask_to_unload(there)
    one.decide()
    late = ask(one, "m1")
    one.run(10)
    assert (there.state, there.outside, one.unloads) == ("draining", 1, [])
    assert [type(effect) for effect in one.told] == [DrainStart]
    assert late in one.line.waiting
    one.others["m1"] = 0
    one._go_on(one.line.observe(there, 0, one.now))
    one.run(10.1)
    assert one.unloads == [("m1", 10.0, 0)]


def test_what_somebody_loads_leaves_no_more() -> None:
    """m1 drains for m2 when an admin's load has m1 as its result: m2 is loaded beside it."""
    one = machine()
    first = ask(one, "m1", "a")
    one.run(6)
    second = ask(one, "m2", "b")
    one.run(26)
    there = one.in_memory["m1"]
    assert there.state == "draining"
    one.residency.keep(there, one.now)
    one.decide()
    assert (there.state, there.origin) == ("resident", "loaded")
    assert [getattr(effect, "outcome", None) or getattr(effect, "result", None) for effect in one.told] == [
        None,
        "revoked",
        "revoked",
    ]
    one.run(31)
    assert {first, second} <= {*one.line.running}
    assert one.unloads == []
