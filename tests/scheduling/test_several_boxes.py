"""The line over several boxes: which of the instances in memory a request gets."""

from __future__ import annotations

import pytest

from lmgateway.scheduling.line import Line
from lmgateway.scheduling.slots import Instance, InstanceId, Lease
from lmgateway.scheduling.tickets import Wanted
from tests.scheduling.stations import MODEL, request

HELLO = b"a conversation"


class Boxes:
    """A line with the same model on three boxes, of four slots each."""

    def __init__(self, **names: str) -> None:
        """`names` are the identifiers of the instances, MODEL if they aren't given."""
        self.line = Line(assume=lambda ticket: "model")
        self.line.machines.boxes = ("a", "b", "c")
        for box in "abc":
            self.line.put(Instance(InstanceId(box, names.get(box, MODEL)), MODEL, 4), 0.0)

    def ask(self, **facts: object) -> Lease | None:
        """Return the lease of a request, None if it waits."""
        ticket = request(**facts)  # type: ignore[arg-type]
        self.line.arrive(ticket, 0.0)
        return self.line.running.get(ticket)

    def box(self, **facts: object) -> str | None:
        """Return the box that a request gets."""
        lease = self.ask(**facts)
        return None if lease is None else lease.instance.id.box

    def reasons(self) -> list[str]:
        return [one.reason for one in self.line.waiting]


def test_the_box_with_the_least_running_gets_the_next_request() -> None:
    boxes = Boxes()
    assert [boxes.box() for _ in range(12)] == [*"abcabcabcabc"]
    assert boxes.box() is None
    assert boxes.reasons() == ["slot"]


def test_all_that_runs_on_a_box_counts() -> None:
    """Also what runs on another model: it is one machine."""
    boxes = Boxes()
    boxes.line.put(Instance(InstanceId("a", "llama"), "llama", 4), 0.0)
    boxes.box(model="llama")
    assert [boxes.box() for _ in range(3)] == [*"bca"]


def test_a_conversation_goes_to_the_box_that_served_it_last() -> None:
    boxes = Boxes()
    boxes.box()
    assert boxes.box(conversation=HELLO) == "b"
    boxes.box(), boxes.box(), boxes.box()
    assert boxes.box(conversation=HELLO) == "b"
    assert boxes.box(conversation=HELLO, key="bob") != "b"


def test_a_conversation_goes_elsewhere_while_its_box_has_no_slot_and_stays_there() -> None:
    boxes = Boxes()
    first = [boxes.ask(conversation=HELLO) for _ in range(4)]
    assert {lease.instance.id.box for lease in first if lease} == {"a"}
    assert boxes.box(conversation=HELLO) == "b"
    for lease in first:
        assert lease is not None
        boxes.line.release(lease, 1.0)
    assert boxes.box(conversation=HELLO) == "b"


def test_the_doubt_of_one_box_stops_only_what_needs_it() -> None:
    boxes = Boxes()
    boxes.line.machines.doubt("a")
    assert {boxes.box() for _ in range(8)} == {"b", "c"}
    assert boxes.box(box="a") is None
    assert boxes.box() is None
    assert sorted(boxes.reasons()) == ["box", "slot"]
    boxes.line.machines.trust("a")
    assert len(boxes.line.dispatch(1.0)) == 2


def test_a_model_that_only_a_doubtful_box_has_is_waited_for() -> None:
    """Nobody loads it elsewhere for that."""
    boxes = Boxes()
    boxes.line.put(Instance(InstanceId("a", "llama"), "llama", 4), 0.0)
    boxes.line.machines.doubt("a")
    assert boxes.box(model="llama") is None
    assert boxes.reasons() == ["box"]


@pytest.mark.parametrize("event", ["down", "draining", "passed"])
def test_a_box_that_gets_nothing_more_keeps_what_runs_there(event: str) -> None:
    boxes = Boxes()
    running = boxes.ask()
    assert running is not None
    if event == "down":
        boxes.line.machines.set_down("a", True)
    elif event == "draining":
        boxes.line.machines.set_draining("a", True)
    passed = ["a"] if event == "passed" else []
    assert {boxes.box(passed=passed) for _ in range(6)} == {"b", "c"}
    assert running.phase == "running"
    assert (boxes.box(box="a") == "a") == (event != "down")


def test_a_name_that_is_the_models_key_is_that_of_every_box() -> None:
    """LM Studio names a model's first instance by its key. On one box somebody has chosen another name."""
    boxes = Boxes(c="mine")
    assert [boxes.box(instance=MODEL) for _ in range(3)] == [*"abc"]


def test_of_two_instances_of_a_box_the_named_one_is_taken() -> None:
    boxes = Boxes()
    boxes.line.put(Instance(InstanceId("a", "mine"), MODEL, 4), 0.0)
    leases = [boxes.ask(instance=MODEL) for _ in range(12)]
    assert "mine" not in {lease.instance.id.name for lease in leases if lease is not None}
    assert boxes.ask(instance=MODEL) is None
    named = boxes.ask(instance="mine")
    assert named is not None
    assert named.instance.id == ("a", "mine")


def test_who_is_passed_over_goes_to_each_box_once() -> None:
    boxes, ticket = Boxes(), request()
    seen = []
    while isinstance(lease := boxes.line.arrive(ticket, 0.0), Lease):
        seen.append(lease.instance.id.box)
        boxes.line.release(lease, 0.0)
        ticket = ticket.passing(lease.instance.id.box)
    assert seen == [*"abc"]


def test_who_only_was_on_the_first_box_may_be_passed_on() -> None:
    """What names no model, or an unknown one, goes to the first box that is up, and then to any other."""
    unnamed = request(box="a", model=MODEL, instance=MODEL, mobility="any").passing("a")
    assert unnamed.group.wanted == Wanted("", "", None, frozenset("a"))
    unknown = request(box="a", model="made up", mobility="any").passing("a")
    assert unknown.group.wanted == Wanted("", "made up", None, frozenset("a"))
    assert unknown.passing("b").group.wanted.passed == {"a", "b"}
