"""Where what waits is to run: a table of towns, with all boxes in the states that matter."""

from __future__ import annotations

import pytest

from lmgateway.scheduling.tickets import Wanted
from tests.scheduling.stations import MODEL, OTHER, Town

ANY = Wanted("", MODEL)


# ── Loads ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_model_goes_to_the_first_box_with_room() -> None:
    town = Town()
    town["a"].offers(has_room=False, has_spare=True)
    assert town.goal(town.wait()) == "b"


def test_only_boxes_that_have_the_model_on_disk_are_considered() -> None:
    town = Town()
    town["a"].disk.clear()
    town["b"].disk = {OTHER}
    assert town.goal(town.wait()) == "c"


def test_a_load_in_progress_keeps_its_box() -> None:
    """Though another one has more room by now."""
    town = Town()
    town["b"].residency.prospects.bringing.add(MODEL)
    town["b"].offers(has_room=False, is_loading=True)
    assert town.goal(town.wait()) == "b"
    town["c"].residency.prospects.loading.add(MODEL)
    assert town.goal(ANY) == "c"


def test_what_is_opened_again_is_loaded_nowhere_else() -> None:
    """The model drained for another one, which nobody waits for any more."""
    town = Town()
    town["b"].residency.prospects.returning.add(MODEL)
    assert town.goal(town.wait()) is None


@pytest.mark.parametrize("passed", [(), ("c",)])
def test_two_models_that_are_wanted_at_once_go_to_two_boxes(passed: tuple[str, ...]) -> None:
    """One load at a time is made on a box: the second would wait for the first."""
    town = Town()
    goals = [town.wait(MODEL, passed=passed), town.wait(OTHER, passed=passed)]
    assert [town.goal(one) for one in goals] == ["a", "b"]


def test_two_models_of_which_only_one_box_has_both_wait_for_each_other() -> None:
    town = Town("a")
    goals = [town.wait(MODEL), town.wait(OTHER)]
    assert [town.goal(one) for one in goals] == ["a", "a"]


def test_models_of_two_types_are_loaded_on_one_box_at_once() -> None:
    town = Town()
    town["b"].disk = town["c"].disk = set()
    goals = [town.wait(MODEL), town.wait(OTHER, kind="embedding")]
    assert [town.goal(one) for one in goals] == ["a", "a"]


def test_one_model_is_loaded_once_for_requests_that_may_go_to_different_boxes() -> None:
    """A request that has failed on the first box needs it on the second: the others go there, too."""
    town = Town()
    goals = [town.wait(), town.wait(passed=("a",)), town.wait(instance=MODEL)]
    assert [town.goal(one) for one in goals] == ["b", "b", "b"]


def test_passed_down_and_drained_boxes_get_nothing() -> None:
    town = Town("abcd")
    town.down("a")
    town.drain("b")
    assert town.goal(town.wait(passed=("c",))) == "d"


def test_a_drained_box_gets_what_can_go_nowhere_else() -> None:
    town = Town()
    town.drain("b")
    assert town.goal(town.wait(box="b")) == "b"


def test_who_has_failed_to_load_it_is_asked_last() -> None:
    town = Town()
    town["a"].offers(is_hopeless=True)
    town["b"].offers(has_room=False)
    town["c"].disk.clear()
    assert town.goal(town.wait()) == "b"


# ── Copies ─────────────────────────────────────────────────────────────────────────────────────────────────


def full(town: Town, box: str = "a", slots: int = 2) -> None:
    """Have all slots of a box taken, by one key alone."""
    town.has(box, slots=slots)
    for other in set(town.stations) - {box}:
        town.line.machines.set_down(other, True)
    town.run(slots)
    for other in set(town.stations) - {box}:
        if town[other].box.is_up:
            town.line.machines.set_down(other, False)


def test_a_second_copy_is_loaded_if_every_slot_is_taken() -> None:
    town = Town()
    full(town)
    town["b"].offers(has_room=False)
    assert town.goal(town.wait()) == "c"


def test_a_copy_waits_for_what_was_loaded_a_moment_ago() -> None:
    town = Town("ab")
    full(town)
    town["b"].offers(has_room=False, has_spare=True, spare_at=40.0)
    target = town.wait()
    assert town.goal(target, 39.0) is None
    assert town.routes(39.0).due == 40.0
    assert town.goal(target, 40.0) == "b"


def test_no_copy_is_loaded_while_a_slot_is_free() -> None:
    """The last slot is kept for interactive requests: a background one waits for it."""
    town = Town()
    town.has("a", slots=2)
    town.run(1)
    assert town.goal(town.wait(priority="background")) is None


def test_no_copy_is_loaded_for_a_request_of_one_box() -> None:
    town = Town()
    full(town)
    assert town.goal(town.wait(box="a")) is None


def test_a_key_at_its_limit_hides_no_other_ones_need() -> None:
    """Both wait for the same model; the first only for its own requests to end."""
    town = Town()
    full(town)
    assert town.goal(town.wait(key="limited")) is None
    town.wait(key="carol")
    assert town.goal(ANY) == "b"


def test_a_model_that_is_in_no_list_any_more_is_loaded_again() -> None:
    """Although a request still runs on what it was."""
    town = Town()
    one = town.has("a")
    town.run(1)
    town.line.remove(one, 0.0)
    town["a"].residency.prospects.holding.clear()
    assert town.goal(town.wait()) == "a"


def test_nothing_is_loaded_while_it_is_doubtful_what_is_there() -> None:
    """The list is read again first."""
    town = Town()
    town.has("a")
    town.line.machines.doubt("a")
    assert town.goal(town.wait()) is None
    assert town.routes().hopeless == []
