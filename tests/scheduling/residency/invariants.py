"""What must hold after every event of a box in which anything may happen."""

from __future__ import annotations

from collections import Counter

from lmgateway.scheduling.residency.swaps import TURN_SECONDS
from lmgateway.scheduling.residency.wants import is_for, target_of
from lmgateway.scheduling.slots import Instance
from lmgateway.schema.common import ModelType
from tests.scheduling.residency.random_box import KINDS, RandomBox


def check(box: RandomBox) -> None:
    """Raise AssertionError if something doesn't hold after an event."""
    box.asked = {one for one in box.asked if one.is_listed}
    _nothing_is_left_to_decide(box)
    _nobody_is_forgotten(box)
    _the_accounts_add_up_to_the_busy_time(box)
    _every_request_has_one_end(box)
    _states_have_reasons(box)
    for kind in KINDS:
        _check_number(box, kind)


def _check_number(box: RandomBox, kind: ModelType) -> None:
    lowered, counted = box.lowered_from.get(kind, 0), box.counted(kind)
    box.lowered_from[kind] = min(lowered, counted)
    assert counted <= max(box.terms.max_models - box.pins(kind), lowered), "too many models"


def _nothing_is_left_to_decide(box: RandomBox) -> None:
    """A decision is complete: the same moment has no other.

    But for whose turn is next, which is looked at again in a second.
    """
    due = box.residency.due()
    if due is not None and due <= box.now + TURN_SECONDS:
        return
    if (due := box.line.due()) is not None and due <= box.now:
        return  # there is more in this moment
    more = box.line.dispatch(box.now)
    assert not more, more
    decision = box.residency.decide(box.now)
    assert not decision.leases
    assert not decision.effects, decision.effects


def _nobody_is_forgotten(box: RandomBox) -> None:
    """If a model isn't there that is waited for, something is being done, or it will be at some time."""
    if not box.terms.enabled:
        return
    for waiter in box.line.waiting:
        target = target_of(waiter.ticket)
        is_in_progress = bool(box.loading or box.unloading or box.drains)
        if not box.is_there(target):
            assert is_in_progress or box.residency.due() is not None, f"{target} is forgotten"


def _the_accounts_add_up_to_the_busy_time(box: RandomBox) -> None:
    accounts = box.line.accounts
    accounts.advance(box.now)
    total = sum(accounts.seconds().values()) + accounts.outside_seconds
    assert abs(total - accounts.busy_seconds) < 1e-6 * max(box.now, 1)


def _every_request_has_one_end(box: RandomBox) -> None:
    refusals = (
        "load_failed",
        "model_blocked",
        "model_not_found",
        "upstream_unavailable",
        "load_cancelled",
    )
    names = ("began", "left", "expired", *refusals)
    assert box.counts["arrived"] == sum(map(box.counts.__getitem__, names)) + len(box.line.waiting)


def _states_have_reasons(box: RandomBox) -> None:
    loads = [one.load for one in box.residency.loads]
    assert Counter(one.target for one in loads) == Counter(one.target for one in box.loading)
    assert len(box.swaps) - len(box.residency.swaps) == sum(
        box.counts[result] for result in ("completed", "revoked", "failed")
    )
    for one in box.memory.values():
        assert (one.state == "unloading") == (one in box.unloading), one
        if one.state == "draining":
            is_swapped = any(one in swap.leaving for swap in box.residency.swaps)
            assert one in box.asked or is_swapped, "it drains for nobody"
            assert box.drains[one]
        else:
            assert one.state == "unloading" or not box.drains[one]
        if one.state == "resident" and not one.leases and not one.outside:
            _check_waiters_of(box, one)


def _check_waiters_of(box: RandomBox, one: Instance) -> None:
    """Nobody waits for an idle model but for a limit of a key."""
    for group in box.line.waiting.groups():
        assert not is_for(group[0].ticket, one) or group[0].reason == "key_limit", group[0]
