"""The ring of named keys: whom an address identifies, and which changes are allowed."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from msgspec import structs

from lmgateway.access import keyring
from lmgateway.access.keyring import NO_KEYS, Keyring, NamedKey
from lmgateway.errors import Conflict, KeyNotFound
from lmgateway.networks import parse_address

from .making import NOW, admin, key, ring, secret

HOME = {
    "all": ["0.0.0.0/0", "::/0"],
    "lan": ["192.168.0.0/16"],
    "room": ["192.168.1.0/24", "10.0.0.1"],
    "box": ["192.168.1.7"],
    "six": ["2001:db8::/32", "::1"],
}


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("192.168.1.7", "box"),
        ("192.168.1.8", "room"),
        ("192.168.2.8", "lan"),
        ("10.0.0.1", "room"),
        ("10.0.0.2", "all"),
        ("::ffff:192.168.1.7", "box"),
        ("::ffff:192.168.1.9", "room"),
        ("2001:db8::7", "six"),
        ("fe80::1%eth0", "all"),
        ("::1", "six"),
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_the_narrowest_network_identifies_the_caller(address: str, name: str, order: int) -> None:
    """Whichever key was made first."""
    keys = ring(*(key(each, addresses=networks) for each, networks in [*HOME.items()][::order]))
    found = keys.at_address(parse_address(address), NOW)
    assert found is not None
    assert found.name == name


def test_an_address_of_no_key_is_nobodys() -> None:
    assert ring(key("a", addresses=["10.0.0.0/8"])).at_address(parse_address("11.0.0.1"), NOW) is None
    assert NO_KEYS.at_address(parse_address("127.0.0.1"), NOW) is None


def test_an_expired_keys_address_isnt_its_any_more() -> None:
    keys = ring(key("gone", expires=NOW, addresses=["10.0.0.1"]), key("lan", addresses=["10.0.0.0/8"]))
    found = keys.at_address(parse_address("10.0.0.1"), NOW)
    assert found is not None
    assert found.name == "lan"


@pytest.mark.parametrize(
    ("taken", "asked", "conflicts"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.1/32", True),
        ("10.0.0.1/32", "::ffff:10.0.0.1", True),
        ("10.0.0.0/24", "10.0.0.77/24", True),
        ("10.0.0.0/8", "::ffff:10.0.0.0/104", True),
        ("::1", "0:0::1/128", True),
        ("10.0.0.0/24", "10.0.0.0/25", False),
        ("10.0.0.1", "10.0.0.2", False),
        ("0.0.0.0/0", "::/0", False),
    ],
)
def test_one_network_has_one_key(taken: str, asked: str, conflicts: bool) -> None:
    """However it is written; the refusal names the key that has it."""
    before = ring(admin("first", addresses=[taken]), key("other"))
    match = "The key first has the address"
    with pytest.raises(Conflict, match=match) if conflicts else nullcontext():
        keyring.check_new(before, key("second", addresses=["9.9.9.9", asked]), has_owner=False)
    with pytest.raises(Conflict, match=match) if conflicts else nullcontext():
        keyring.check_change(before, key("other", addresses=[asked]), NOW, has_owner=False)


def test_a_key_keeps_its_own_addresses() -> None:
    before = ring(admin("a", addresses=["10.0.0.1"]))
    keyring.check_change(before, admin("a", addresses=["10.0.0.1/32", "10.0.0.2"]), NOW, has_owner=False)


def test_a_taken_name_is_a_conflict() -> None:
    with pytest.raises(Conflict, match="There is a key a already"):
        keyring.check_new(ring(admin("a")), key("a"), has_owner=True)


@pytest.mark.parametrize(
    ("first", "has_owner", "refusal"),
    [
        (key("a"), False, "must have the scope admin"),
        (
            key("a", scopes=["inference", "tools", "models", "observe", "log"]),
            False,
            "must have the scope admin",
        ),
        (admin("a", expires=NOW + 9), False, "can't expire"),
        (admin("a"), False, None),
        (key("a"), True, None),
        (key("a", expires=NOW + 9), True, None),
    ],
)
def test_the_first_key_must_be_able_to_make_a_second(
    first: NamedKey, has_owner: bool, refusal: str | None
) -> None:
    with pytest.raises(Conflict, match=refusal) if refusal else nullcontext():
        keyring.check_new(NO_KEYS, first, has_owner=has_owner)


LAST = [
    pytest.param([], True, id="alone"),
    pytest.param([key("b")], True, id="the other has no admin"),
    pytest.param([admin("b", expires=NOW)], True, id="the other has expired"),
    pytest.param([admin("b")], False, id="two"),
    pytest.param([admin("b", expires=NOW + 1)], False, id="the other expires later"),
]


@pytest.mark.parametrize(("others", "is_last"), LAST)
@pytest.mark.parametrize("has_owner", [False, True])
@pytest.mark.parametrize("change", ["revoke", "lose the scope", "expire"])
def test_the_last_key_with_admin_stays(
    others: list[NamedKey], is_last: bool, has_owner: bool, change: str
) -> None:
    """Without an owner nobody could make another."""
    keys = ring(admin("a"), *others)
    refused = is_last and not has_owner
    with (
        pytest.raises(Conflict, match="a is the last key with the scope admin") if refused else nullcontext()
    ):
        match change:
            case "revoke":
                keyring.check_leave(keys, "a", NOW, has_owner=has_owner)
            case "lose the scope":
                keyring.check_change(keys, key("a"), NOW, has_owner=has_owner)
            case _:
                keyring.check_change(keys, admin("a", expires=NOW + 99), NOW, has_owner=has_owner)


@pytest.mark.parametrize(
    ("after", "refused"),
    [
        (admin("a", expires=NOW + 50, note="x"), False),
        (admin("a", expires=NOW + 60), False),
        (admin("a"), False),
        (admin("a", expires=NOW + 40), True),
    ],
)
def test_the_last_keys_expiry_may_only_be_put_off(after: NamedKey, refused: bool) -> None:
    """It can have one from when there was another, and other fields may be changed then."""
    with pytest.raises(Conflict) if refused else nullcontext():
        keyring.check_change(ring(admin("a", expires=NOW + 50)), after, NOW, has_owner=False)


def test_an_expired_key_can_be_revoked() -> None:
    """It manages nothing any more."""
    keyring.check_leave(ring(admin("a", expires=NOW)), "a", NOW, has_owner=False)


def test_what_counts_as_configured() -> None:
    """No key that has expired, can't be decoded or can't be read opens the gateway."""
    assert not NO_KEYS.is_configured
    assert ring(key("a", expires=NOW - 1)).is_configured
    assert Keyring.of([], has_unreadable=True).is_configured
    assert Keyring.of([], is_readable=False).is_configured


def test_a_made_key_ends_that_the_keys_are_unreadable() -> None:
    """A revoked one doesn't."""
    unreadable = Keyring.of([], is_readable=False)
    assert unreadable.replacing("a", None).is_readable is False
    assert unreadable.replacing("a", key("a")).is_readable is True
    assert Keyring.of([], has_unreadable=True).replacing("a", key("a")).has_unreadable


def test_a_rotation_with_grace_keeps_both() -> None:
    """The one before ends when the grace is over."""
    rotated = keyring.refreshed(key("a", key_id="firstone"), secret("secondid"), now=NOW, grace_seconds=60)
    keys = ring(rotated)
    assert {*keys.secrets} == {"firstone", "secondid"}
    for after, valid in ((0, True), (59.9, True), (60, False)):
        assert (keys.holder("a", "firstone", NOW + after) is not None) is valid
    assert keys.holder("a", "secondid", NOW + 10**6) is rotated


def test_a_rotation_without_grace_ends_it_at_once() -> None:
    rotated = keyring.refreshed(key("a", key_id="firstone"), secret("secondid"), now=NOW, grace_seconds=0)
    assert {*ring(rotated).secrets} == {"secondid"}
    assert ring(rotated).holder("a", "firstone", NOW) is None


def test_a_second_rotation_ends_the_oldest_at_once() -> None:
    first = key("a", key_id="firstone")
    second = keyring.refreshed(first, secret("secondid"), now=NOW, grace_seconds=1000)
    third = keyring.refreshed(second, secret("thirdone"), now=NOW + 1, grace_seconds=1000)
    assert {*ring(third).secrets} == {"secondid", "thirdone"}
    assert ring(third).holder("a", "firstone", NOW + 1) is None


@pytest.mark.parametrize(
    ("name", "sent", "is_valid"),
    [
        ("a", "axxxxxxx", True),
        ("a", None, True),
        ("a", "bxxxxxxx", False),
        ("expired", "expiredx", False),
        ("expired", None, False),
        ("nobody", None, False),
    ],
)
def test_whose_requests_go_on(name: str, sent: str | None, is_valid: bool) -> None:
    """Those of a key that is valid, with a secret of its own or recognised by its address."""
    keys = ring(key("a"), key("b"), key("expired", expires=NOW))
    assert (keys.holder(name, sent, NOW) is not None) is is_valid


def test_when_something_ends_next() -> None:
    keys = ring(
        key("never"),
        key("later", expires=NOW + 20),
        key("soon", previous=secret("previous", until=NOW + 10)),
        key("past", expires=NOW - 5),
    )
    assert keys.ends_after(NOW) == NOW + 10
    assert keys.ends_after(NOW + 10) == NOW + 20
    assert keys.ends_after(NOW + 20) is None
    assert NO_KEYS.ends_after(NOW) is None


def contents(keys: Keyring) -> tuple[object, ...]:
    return (dict(keys.keys), dict(keys.secrets), dict(keys.networks))


def test_a_changed_ring_is_one_that_was_made_so() -> None:
    """Its indexes have what the key has now, and nothing of what it had."""
    one, two = key("a", key_id="firstone", addresses=["10.0.0.1", "10.0.0.2"]), key("b", addresses=["::1"])
    changed = structs.replace(
        keyring.refreshed(one, secret("secondid"), now=NOW, grace_seconds=9),
        settings=key("a", addresses=["10.0.0.2", "10.0.0.3"]).settings,
    )
    before = ring(one, two)
    unchanged = contents(before)
    assert contents(before.replacing("a", changed)) == contents(ring(two, changed))
    assert contents(before.replacing("a", changed).replacing("a", None)) == contents(ring(two))
    assert contents(before.replacing("c", None)) == contents(before)
    assert contents(before) == unchanged


def test_an_unknown_name_is_named_in_the_error() -> None:
    """Cut off, since clients choose it."""
    with pytest.raises(KeyNotFound, match="There is no key nobody"):
        NO_KEYS.get("nobody")
    with pytest.raises(KeyNotFound) as caught:
        NO_KEYS.get("x" * 10_000)
    assert len(caught.value.message) < 400
