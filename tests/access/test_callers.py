"""Keys: which are valid, and what their callers may do."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from lmgateway.access.callers import Caller, Callers
from lmgateway.access.credentials import presented
from lmgateway.config import Auth, Config
from lmgateway.errors import Forbidden, Unauthorized
from lmgateway.networks import parse_address
from lmgateway.schema.keys import SCOPES, Scope

KEY = "Open Sesame"
RIGHT, OTHER = ("X-API-Key", KEY), ("X-API-Key", "other")
BEARER, FOREIGN = ("Authorization", f"Bearer {KEY}"), ("Authorization", "Bearer sk-other")


def identified(*pairs: tuple[str, str], key: str = KEY) -> Caller:
    """The caller that a gateway with this key identifies by these fields."""
    fields = CIMultiDictProxy(CIMultiDict(pairs))
    return Callers(Config(auth=Auth(api_key=key))).identify(presented(fields), parse_address("127.0.0.1"))


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([RIGHT], id="X-API-Key"),
        pytest.param([("x-api-KEY", KEY)], id="name in another case"),
        pytest.param([BEARER], id="Bearer"),
        pytest.param([("Authorization", f"bEARER {KEY}")], id="scheme in another case"),
        pytest.param([("Authorization", f"Bearer   {KEY}")], id="several spaces"),
        pytest.param([RIGHT, FOREIGN], id="client's own Bearer beside"),
        pytest.param([FOREIGN, RIGHT], id="client's own Bearer in front"),
        pytest.param([RIGHT, ("Authorization", "Basic dTpw")], id="client's own Basic beside"),
        pytest.param([RIGHT, RIGHT], id="same X-API-Key twice"),
        pytest.param([BEARER, BEARER], id="same Bearer twice"),
    ],
)
def test_the_key_opens(headers: list[tuple[str, str]]) -> None:
    """A client may send the key in either header, beside its own Authorization for LM Studio."""
    assert identified(*headers).name == "owner"


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([("X-API-Key", ""), BEARER], id="empty X-API-Key decides"),
        pytest.param([RIGHT, BEARER, FOREIGN], id="two Bearers beside a right X-API-Key"),
        pytest.param([("Proxy-Authorization", f"Bearer {KEY}")], id="another header"),
        pytest.param([("Cookie", f"X-API-Key={KEY}")], id="cookie"),
        pytest.param([("X-API-Key", "\udcff\x00")], id="bytes that are no text"),
    ],
)
def test_everything_else_is_refused(headers: list[tuple[str, str]]) -> None:
    """What tests/hostile/test_keys.py doesn't send: keys in other places, and an X-API-Key that overrules."""
    with pytest.raises(Unauthorized) as caught:
        identified(*headers)
    assert (caught.value.status, caught.value.title) == (401, "Unauthorized")
    assert caught.value.headers == {"WWW-Authenticate": "Bearer"}
    assert KEY not in f"{caught.value.message}{caught.value.details}"


@pytest.mark.parametrize(
    ("key", "sent", "admitted"),
    [
        pytest.param("пароль ünï", "пароль ünï".encode(), True, id="UTF-8"),
        pytest.param("caf\udce9", b"caf\xe9", True, id="bytes from the environment"),
        pytest.param("café", b"caf\xe9", False, id="Latin-1 of a UTF-8 key"),
        pytest.param("café", "cafe\u0301".encode(), False, id="another normal form"),
    ],
)
def test_keys_are_compared_as_bytes(key: str, sent: bytes, admitted: bool) -> None:
    """A key that isn't ASCII is valid if its bytes are equal, and a 401, not a 500, otherwise."""
    # This is how aiohttp reads a header.
    header = ("X-API-Key", sent.decode("utf-8", "surrogateescape"))
    with nullcontext() if admitted else pytest.raises(Unauthorized):
        identified(header, key=key)


def test_without_a_key_every_caller_is_anyone() -> None:
    """A gateway without a key ignores the keys that clients send."""
    assert identified(OTHER, FOREIGN, RIGHT, key="").name == "anyone"


@pytest.mark.parametrize("key", ["", KEY])
@pytest.mark.parametrize("scope", sorted(SCOPES))
def test_the_callers_owner_and_anyone_have_every_scope(key: str, scope: Scope) -> None:
    identified(RIGHT, key=key).require(scope)


@pytest.mark.parametrize(
    ("scopes", "needed", "allowed"),
    [
        ({"inference"}, "inference", True),
        ({"inference"}, "models", False),
        ({"observe", "log"}, "log", True),
        ({"observe"}, "log", False),
        ({"admin"}, "models", True),
        (set(), "inference", False),
    ],
)
def test_a_caller_needs_the_scope(scopes: set[Scope], needed: Scope, allowed: bool) -> None:
    """The refusal names the missing scope; admin includes every other one."""
    caller = Caller(name="guest", scopes=frozenset(scopes))
    with nullcontext() if allowed else pytest.raises(Forbidden, match=f"guest lacks the scope {needed}"):
        caller.require(needed)
