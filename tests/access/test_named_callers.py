"""Whom a named key, an address and the owner's key identify."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from lmgateway.access import callers as callers_module
from lmgateway.access import keyring
from lmgateway.access.callers import Caller, Callers, check_author
from lmgateway.access.credentials import presented
from lmgateway.access.keyring import NO_KEYS, Keyring, NamedKey
from lmgateway.access.secrets import make_key, secret_of
from lmgateway.config import Auth, Config
from lmgateway.errors import KeysUnreadable, ScopeMissing, Unauthorized
from lmgateway.networks import parse_address
from tests.support.processor import processor_seconds

from .making import NOW, REST, admin, key, many, ring

OWNERS = "Open Sesame"
HOME, AWAY = "10.0.0.1", "11.0.0.1"


@pytest.fixture(autouse=True)
def at_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers_module, "unix_time", lambda: NOW)


def text_of(named: NamedKey) -> str:
    return f"sk-lm-{named.secret.id}:{REST}"


def identify(
    keys: Keyring, sent: str | None = None, *, at: str = AWAY, owner: str = "", header: str = "Authorization"
) -> Caller:
    fields = {} if sent is None else {header: f"Bearer {sent}" if header == "Authorization" else sent}
    credential = presented(CIMultiDictProxy(CIMultiDict(fields)))
    return Callers(Config(auth=Auth(api_key=owner)), keys).identify(credential, parse_address(at))


def test_a_key_identifies_its_caller_with_the_keys_rights() -> None:
    anna = key(
        "anna",
        scopes=["inference", "observe"],
        models=["qwen*"],
        model="qwen3",
        defaultInference={"temperature": 0.5},
    )
    for header in ("Authorization", "X-API-Key"):
        caller = identify(ring(anna, key("bob")), text_of(anna), header=header)
        assert caller == Caller(
            name="anna",
            scopes=frozenset({"inference", "observe"}),
            models=caller.models,
            model="qwen3",
            default_inference=anna.settings.default_inference,
            secret_id=anna.secret.id,
            is_named=True,
            sent_key=True,
        )
        assert (caller.models.allow("qwen3"), caller.models.allow("llama")) == (True, False)


ANNA = key("anna", addresses=["10.0.0.0/8"])
EXPIRED = key("gone", expires=NOW, addresses=["12.0.0.0/8"])


@pytest.mark.parametrize(
    ("sent", "at", "name"),
    [
        pytest.param(None, HOME, "anna", id="no key at its address"),
        pytest.param("", HOME, "anna", id="an empty key counts as none"),
        pytest.param("wrong", HOME, None, id="a wrong key at its address"),
        pytest.param(text_of(ANNA)[:-1] + "x", HOME, None, id="a wrong key with its id at its address"),
        pytest.param(None, AWAY, None, id="no key elsewhere"),
        pytest.param(text_of(ANNA), AWAY, "anna", id="its key elsewhere"),
        pytest.param(text_of(ANNA)[6:], AWAY, None, id="without the prefix"),
        pytest.param(text_of(ANNA).upper(), AWAY, None, id="in upper case"),
        pytest.param(text_of(EXPIRED), AWAY, None, id="expired"),
        pytest.param(None, "12.0.0.1", None, id="at the address of an expired key"),
        pytest.param(OWNERS, HOME, "owner", id="the owner's at another key's address"),
    ],
)
@pytest.mark.parametrize("header", ["Authorization", "X-API-Key"])
def test_who_is_let_in(sent: str | None, at: str, name: str | None, header: str) -> None:
    keys = ring(ANNA, EXPIRED)
    if name is None:
        with pytest.raises(Unauthorized):
            identify(keys, sent, at=at, owner=OWNERS, header=header)
    else:
        assert identify(keys, sent, at=at, owner=OWNERS, header=header).name == name


def test_who_sent_no_key_is_told_apart() -> None:
    """A web page can send a request from its visitor's address, but not the key."""
    by_address, by_key = identify(ring(ANNA), at=HOME), identify(ring(ANNA), text_of(ANNA), at=HOME)
    assert (by_address.sent_key, by_address.secret_id) == (False, None)
    assert (by_key.sent_key, by_key.secret_id) == (True, "annaxxxx")
    assert by_address.scopes == by_key.scopes


def test_an_owners_key_of_the_named_form_is_the_owner() -> None:
    """An SDK accepts only that form."""
    owners = f"sk-lm-OWNEROWN:{REST}"
    assert identify(ring(ANNA), owners, owner=owners).name == "owner"
    with pytest.raises(Unauthorized):
        identify(ring(ANNA), owners[:-1] + "x", owner=owners)
    with pytest.raises(Unauthorized):
        identify(ring(ANNA), owners, owner="another")


def test_a_named_key_with_the_id_of_the_owners() -> None:
    """Each is let in with its own secret."""
    owners = "sk-lm-annaxxxx:ABCDEFGHIJ0123456789"
    assert identify(ring(ANNA), owners, owner=owners).name == "owner"
    assert identify(ring(ANNA), text_of(ANNA), owner=owners).name == "anna"
    with pytest.raises(Unauthorized):
        identify(ring(ANNA), owners[:-1] + "x", owner=owners)


def test_a_named_key_that_became_the_owners() -> None:
    """Who sets it as auth.api_key gets every scope."""
    assert identify(ring(ANNA), text_of(ANNA), owner=text_of(ANNA)).name == "owner"


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param(Keyring.of([], is_readable=False), id="unreadable"),
        pytest.param(Keyring.of([], has_unreadable=True), id="one can't be decoded"),
        pytest.param(ring(EXPIRED), id="all expired"),
    ],
)
def test_the_gateway_stays_closed(keys: Keyring) -> None:
    """Only the owner is let in; who lost all keys sets auth.api_key."""
    refusal = KeysUnreadable if not keys.is_readable else Unauthorized
    for sent in (None, "", "x", OWNERS, text_of(ANNA), text_of(EXPIRED)):
        with pytest.raises(refusal):
            identify(keys, sent, at=HOME)
    assert identify(keys, OWNERS, owner=OWNERS).name == "owner"
    with pytest.raises(refusal):
        identify(keys, "x", owner=OWNERS)


def test_who_may_come_back_to_a_gateway_whose_keys_cant_be_read() -> None:
    """The refusal says when to ask again, and what to do."""
    with pytest.raises(KeysUnreadable, match="owner") as caught:
        identify(Keyring.of([], is_readable=False))
    assert 1 <= int(caught.value.headers["Retry-After"]) <= 30


def test_a_rotated_key_ends_and_its_addresses_stay() -> None:
    """Who sent the former secret is refused from then on."""
    rotated = keyring.refreshed(ANNA, secret_of(make_key()), now=NOW, grace_seconds=0)
    callers = Callers(Config(), ring(rotated))
    callers.check(identify(ring(ANNA), at=HOME))
    with pytest.raises(Unauthorized, match="revoked or rotated"):
        callers.check(identify(ring(ANNA), text_of(ANNA)))


def anonymous(keys: Keyring = NO_KEYS) -> Caller:
    return identify(keys)


ADMIN = admin("boss", addresses=["10.0.0.1"])
AUTHORS: list[tuple[Callable[[], Caller], Keyring, type[Exception] | None]] = [
    (lambda: identify(ring(ADMIN), text_of(ADMIN)), ring(ADMIN), None),
    (lambda: identify(ring(ADMIN), at=HOME), ring(ADMIN), None),
    (lambda: identify(ring(ADMIN), text_of(ADMIN)), ring(ANNA), Unauthorized),
    (lambda: identify(ring(ADMIN), at=HOME), ring(ANNA), Unauthorized),
    (lambda: identify(ring(ADMIN), text_of(ADMIN)), ring(key("boss"), ANNA), ScopeMissing),
    (lambda: identify(ring(ADMIN), OWNERS, owner=OWNERS), ring(ANNA), None),
    (anonymous, NO_KEYS, None),
    (anonymous, ring(ADMIN), Unauthorized),
]


@pytest.mark.parametrize(("caller", "now", "refusal"), AUTHORS)
def test_a_change_that_waited_is_judged_again(
    caller: Callable[[], Caller], now: Keyring, refusal: type[Exception] | None
) -> None:
    """A thief's key that was revoked meanwhile makes no other one."""
    author = caller()
    if refusal is None:
        check_author(now, author)
    else:
        with pytest.raises(refusal):
            check_author(now, author)


def test_a_request_costs_one_hash_and_one_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many keys there are, and whether the key is right or not."""
    keys = many(5000)
    callers = Callers(Config(auth=Auth(api_key=OWNERS)), Keyring.of(keys.values()))
    hashes, comparisons = [], []
    sha256, compare = hashlib.sha256, hmac.compare_digest
    monkeypatch.setattr(hashlib, "sha256", lambda data: hashes.append(data) or sha256(data))
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: comparisons.append(a) or compare(a, b))
    right = [*keys][4321]
    for sent, name in [
        (right, "key4321"),
        (OWNERS, "owner"),
        (right[:-1] + "!", None),
        (right[:-1] + ("x" if right[-1] != "x" else "y"), None),
        (make_key(), None),
        ("nothing like a key", None),
    ]:
        hashes.clear()
        comparisons.clear()
        credential = presented(CIMultiDictProxy(CIMultiDict({"X-API-Key": sent})))
        try:
            found = callers.identify(credential, parse_address(AWAY)).name
        except Unauthorized:
            found = None
        assert (found, len(hashes), len(comparisons)) == (name, 1, 1)


def test_a_change_among_5000_keys_holds_up_nobody() -> None:
    """The loop that serves all requests makes it: 20 ms at most."""
    keys = many(5000)
    before = Keyring.of(keys.values())
    new = admin("new", addresses=["12.0.0.1"], expires=NOW + 9)

    def change() -> None:
        keyring.check_new(before, new, has_owner=False)
        after = before.replacing("new", new)
        after.at_address(parse_address(HOME), NOW)
        after.ends_after(NOW)
        keyring.check_change(after, new, NOW, has_owner=False)
        Callers(Config(), after)

    assert processor_seconds(change) < 0.02


@pytest.mark.parametrize(
    ("bearer", "is_ours"),
    [
        (text_of(ANNA), True),
        (f"sk-lm-LMSTUDIO:{REST}", False),
        ("dummy", False),
    ],
)
def test_a_named_key_beside_an_x_api_key_is_not_forwarded(bearer: str, is_ours: bool) -> None:
    """A token of LM Studio, which has the same form, is."""
    fields = {"X-API-Key": OWNERS, "Authorization": f"Bearer {bearer}"}
    credential = presented(CIMultiDictProxy(CIMultiDict(fields)))
    redaction = Callers(Config(auth=Auth(api_key=OWNERS)), ring(ANNA)).redaction(credential)
    assert redaction.holds_known_key(f"Bearer {bearer}") is is_ours
    assert redaction.holds_known_key(OWNERS)
