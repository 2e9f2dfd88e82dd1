"""When each key was used last, and by how many addresses: bounded, whatever clients do."""

from __future__ import annotations

import pytest

from lmgateway.access import key_uses
from lmgateway.access.key_uses import KeyUses

DAY = 86_400


class At:
    """The time, which a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_800_000_000.0
        monkeypatch.setattr(key_uses, "unix_time", lambda: self.now)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> At:
    return At(monkeypatch)


def test_the_last_use_and_the_addresses_of_a_day(at: At) -> None:
    uses = KeyUses()
    assert (uses.last("a"), uses.recent_addresses("a")) == (None, 0)
    uses.add("a", "10.0.0.1")
    at.now += DAY / 2
    uses.add("a", "10.0.0.2")
    uses.add("a", "10.0.0.2")
    assert (uses.last("a"), uses.recent_addresses("a")) == (at.now, 2)
    at.now += DAY / 2 + 1
    assert uses.recent_addresses("a") == 1
    assert uses.recent_addresses("b") == 0


def test_no_more_than_a_hundred_addresses_are_remembered(at: At) -> None:
    """New ones take the place of those that weren't seen for a day, and of no others."""
    uses = KeyUses()
    for number in range(1000):
        uses.add("a", f"address {number}")
    assert uses.recent_addresses("a") == 100
    at.now += DAY + 1
    for number in range(1000):
        uses.add("a", f"another {number}")
    assert uses.recent_addresses("a") == 100
    assert len(uses._addresses["a"]) == 100


def test_a_revoked_key_leaves_nothing(at: At) -> None:
    uses = KeyUses()
    uses.restore({"a": at.now})
    uses.add("a", "10.0.0.1")
    uses.forget("a")
    assert (uses.last("a"), uses.recent_addresses("a"), uses.unsaved(all_of_them=True)) == (None, 0, {})


def test_a_use_is_saved_once_a_minute(at: At) -> None:
    """And at the end."""
    uses = KeyUses()
    uses.restore({"a": at.now})
    at.now += 60
    uses.add("a", "10.0.0.1")
    assert uses.unsaved() == {}
    assert uses.unsaved(all_of_them=True) == {"a": at.now}
    at.now += 1
    uses.add("a", "10.0.0.1")
    assert uses.unsaved() == {"a": at.now}
    uses.saved({"a": at.now})
    assert uses.unsaved(all_of_them=True) == {}


def test_a_first_use_is_saved_soon(at: At) -> None:
    uses = KeyUses()
    uses.add("a", "10.0.0.1")
    assert uses.unsaved() == {"a": at.now}
