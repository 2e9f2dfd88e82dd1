"""What no box can run now: it is refused, wakes a machine, or goes to a server that isn't LM Studio."""

from __future__ import annotations

import pytest

from tests.scheduling.stations import OTHER, Town, request


def test_what_no_box_can_run_is_refused() -> None:
    town = Town()
    town.down("a")
    town.drain("b")
    town["c"].disk.clear()
    assert town.error(town.wait()) == "upstream_unavailable"


@pytest.mark.parametrize("box", ["a", "gone"])
def test_a_request_of_a_box_that_is_down_or_gone_is_refused(box: str) -> None:
    town = Town()
    town.down("a")
    assert town.error(town.wait(box=box)) == "upstream_unavailable"


def test_a_sleeping_box_is_woken_only_if_no_other_has_the_model() -> None:
    town = Town()
    town.down("a", may_sleep=True)
    target = town.wait()
    assert town.goal(target) == "b"
    assert town.routes().absent == frozenset()
    for name in "bc":
        town[name].disk.clear()
    assert town.goal(target) is None
    assert town.routes().absent == {"a"}
    assert town.routes().hopeless == []


def test_the_box_that_wakes_already_is_waited_for() -> None:
    town = Town()
    town.down("a", may_sleep=True)
    town.down("b", may_sleep=True, is_waking=True)
    town.down("c")
    town.wait()
    assert town.routes().absent == {"b"}


def test_a_drained_box_is_only_woken_for_what_is_bound_to_it() -> None:
    town = Town("a")
    town.down("a", may_sleep=True)
    town.drain("a")
    target = town.wait()
    assert town.routes().absent == frozenset()
    assert town.error(target) == "upstream_unavailable"
    town.wait(box="a")
    assert town.routes().absent == {"a"}


def test_a_box_that_overslept_is_a_503() -> None:
    town = Town("a")
    town.down("a", may_sleep=True)
    town["a"].overslept_at = 1.0
    assert town.error(town.wait()) == "box_asleep"


# ── Boxes whose models can't be managed ────────────────────────────────────────────────────────────────────


def test_a_model_of_a_server_that_is_not_lm_studio_runs_there() -> None:
    """Nothing is loaded for it, and nobody waits for a box that hasn't it."""
    town = Town("ab")
    town["b"].has_residency = False
    town["a"].disk = {OTHER}
    assert town.router.place(request(), 0.0) is town["b"]
    assert town.router.place(request(model=OTHER), 0.0) == "model"


def test_lm_studio_goes_before_a_server_that_is_not_lm_studio() -> None:
    """Unless the model can't be loaded there."""
    town = Town("ab")
    town["b"].has_residency = False
    assert town.router.place(request(), 0.0) == "model"
    town["a"].offers(is_hopeless=True)
    assert town.router.place(request(), 0.0) is town["b"]
    assert town.goal(town.wait()) is None


def test_of_servers_that_are_not_lm_studio_the_one_with_the_least_running_is_taken() -> None:
    town = Town()
    for station in town.stations.values():
        station.has_residency = False
    town.has("a", OTHER)
    town.run(1, model=OTHER)
    assert town.router.place(request(), 0.0) is town["b"]
    assert town.router.place(request(passed=("b",)), 0.0) is town["c"]
    assert town.router.place(request(box="a"), 0.0) is town["a"]


def test_a_name_that_no_list_has_goes_to_a_server_that_is_not_lm_studio() -> None:
    """Also if it must wait for a slot there."""
    town = Town("ab")
    town["b"].has_residency = False
    assert town.router.place(request(model="made up"), 0.0) is town["b"]
    target = town.wait("made up")
    assert town.goal(target) is None
    assert town.routes().hopeless == []


def test_what_names_no_model_goes_to_the_first_box_that_is_up() -> None:
    town = Town()
    town.down("a")
    assert town.router.place(request(model=""), 0.0) is town["b"]
    town.wait("")
    assert town.routes().hopeless == []
