"""What is remembered of refusals: bounded, whatever names clients send."""

from __future__ import annotations

from lmgateway.boxes.health import Health
from lmgateway.boxes.refusals import MAX_MODELS, Refusals
from lmgateway.text import NAME_CHARACTERS


def test_a_name_longer_than_any_models_is_not_kept() -> None:
    """A body's megabytes would stay in memory for as long as the process lives."""
    refusals, longest = Refusals(Health()), "m" * NAME_CHARACTERS
    for name in (longest, longest + "m"):
        refusals.add(name, "tool_choice")
    assert (refusals.of(longest), refusals.of(longest + "m")) == (("tool_choice",), ())


def test_the_models_that_are_known_go_on_learning() -> None:
    """The bound is for new names."""
    refusals = Refusals(Health())
    for number in range(MAX_MODELS + 1):
        refusals.add(f"m{number}", "tool_choice")
    refusals.add("m0", "json_object")
    assert refusals.of("m0") == ("tool_choice", "json_object")
    assert refusals.of(f"m{MAX_MODELS}") == ()
