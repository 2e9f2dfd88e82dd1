"""On which box a model is loaded: the rule as a table, and for all offers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmgateway.scheduling.routing import Offer, best, best_for_copy, copy_due
from tests.support.properties import checked

ROOM = Offer(box="room")
FULL = Offer(box="full", has_room=False)
SPARE = Offer(box="spare", has_room=False, has_spare=True, spare_at=50.0)
LOADING = Offer(box="loading", has_room=False, is_loading=True)
HOPELESS = Offer(box="hopeless", is_hopeless=True)
BUSY = Offer(box="busy", running=3)
SHORT = Offer(box="short", has_room=False, has_spare=True, lacks_memory=True)

offers = st.lists(
    st.builds(
        Offer,
        box=st.uuids().map(str),
        is_hopeless=st.booleans(),
        has_room=st.booleans(),
        is_loading=st.booleans(),
        has_spare=st.booleans(),
        spare_at=st.sampled_from([0.0, 50.0, 100.0]),
        running=st.integers(0, 4),
        lacks_memory=st.booleans(),
    ),
    max_size=5,
)


@pytest.mark.parametrize(
    ("given_offers", "box"),
    [
        pytest.param([], None, id="none"),
        pytest.param([ROOM, BUSY], "room", id="of two with room the one with the least running"),
        pytest.param([BUSY, FULL], "busy", id="room before an unload, whatever runs"),
        pytest.param([FULL, SPARE], "spare", id="a spare victim before a busy one"),
        pytest.param([LOADING, FULL], "full", id="no second load beside one"),
        pytest.param([HOPELESS, LOADING], "loading", id="hopeless last"),
        pytest.param([HOPELESS], "hopeless", id="hopeless rather than none"),
        pytest.param([ROOM, Offer(box="other")], "room", id="of equal ones the first"),
    ],
)
def test_a_model_is_loaded_where_it_disturbs_least(given_offers: list[Offer], box: str | None) -> None:
    chosen = best(given_offers)
    assert (None if chosen is None else chosen.box) == box


@pytest.mark.parametrize(
    ("given_offers", "now", "box", "due"),
    [
        pytest.param([ROOM, SPARE], 0.0, "room", 50.0, id="room"),
        pytest.param([SPARE], 49.0, None, 50.0, id="a spare one that was loaded a moment ago"),
        pytest.param([SPARE], 50.0, "spare", None, id="a spare one"),
        pytest.param([FULL, LOADING, HOPELESS], 99.0, None, None, id="nothing that is in use goes"),
        pytest.param([SHORT], 99.0, None, None, id="nothing goes where memory was lacking"),
    ],
)
def test_a_second_copy_disturbs_nobody(
    given_offers: list[Offer], now: float, box: str | None, due: float | None
) -> None:
    chosen = best_for_copy(given_offers, now)
    assert (None if chosen is None else chosen.box) == box
    assert copy_due(given_offers, now) == due


@checked
@given(offers)
def test_no_offer_is_better_than_the_best(all_offers: list[Offer]) -> None:
    """The contract's order the other way round: what isn't chosen while something else is there."""
    chosen = best(all_offers)
    assert (chosen is None) == (not all_offers)
    for one in all_offers:
        if chosen is None or one.is_hopeless:
            continue
        assert not chosen.is_hopeless
        assert chosen.has_room or not one.has_room
        if not chosen.has_room and not one.is_loading:
            assert not chosen.is_loading


@checked
@given(offers, st.sampled_from([0.0, 50.0, 99.0]))
def test_a_copy_is_due_when_it_can_be_loaded(all_offers: list[Offer], now: float) -> None:
    """At the time that is told a box is found, unless none is told; until then none that is only spare."""
    due = copy_due(all_offers, now)
    if due is not None:
        assert due > now
        assert best_for_copy(all_offers, due) is not None
    chosen = best_for_copy(all_offers, now)
    if chosen is not None:
        assert (chosen.is_hopeless, chosen.is_loading, chosen.lacks_memory) == (False, False, False)
        assert chosen.has_room or chosen.spare_at <= now
