"""Redaction of keys in any text."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmgateway.access.callers import Callers
from lmgateway.access.credentials import Credential, Redaction
from lmgateway.config import Auth, Config
from tests.support.properties import checked

OWNERS = "Open Sesame"
NAMED = "sk-lm-ABCDEFGH:abcdefghij0123456789"
LETTERS = string.ascii_letters + string.digits


def redaction(*presented: str, key: str = OWNERS) -> Redaction:
    return Callers(Config(auth=Auth(api_key=key))).redaction(Credential(presented))


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (f"/v1/{OWNERS}", "/v1/********"),
        (f"{OWNERS} and {OWNERS}.", "******** and ********."),
        (f"/v1/{NAMED}/x", "/v1/********/x"),
        (f"?a={NAMED}{NAMED}", "?a=****************"),
        (f"x{NAMED}y", "x********y"),
        ("/v1/presented", "/v1/********"),
        ("/v1/presented-not", "/v1/********-not"),
        ("/v1/unpresented", "/v1/un********"),
        (f"{OWNERS}s", "********s"),
        (f"/v1/x{OWNERS}", "/v1/x********"),
        (f"{OWNERS}-7b", "********-7b"),
        (f"token_{OWNERS}", "token_********"),
        (f"1{OWNERS}2{OWNERS}3", "1********2********3"),
        ("https://x/?key=Open%20Sesame&x", "https://x/?key=********&x"),
        ("https://x/?key=Open+Sesame&x", "https://x/?key=********&x"),
        (OWNERS.lower(), OWNERS.lower()),
        (NAMED[:-1], NAMED[:-1]),
        ("sk-lm-", "sk-lm-"),
    ],
)
def test_what_is_hidden(text: str, hidden: str) -> None:
    """The owner's key, the presented one, and everything with the form of a named key."""
    assert redaction("presented").redact(text) == hidden
    assert redaction("presented").holds_key(text) is (text != hidden)


def test_a_short_key_is_hidden_as_a_word_of_its_own() -> None:
    """It is a part of ordinary words: whole headers and paths would be hidden with it."""
    short = redaction(key="demo")
    assert short.redact("/v1/demo/x") == "/v1/********/x"
    assert short.redact("/v1/democracy") == "/v1/democracy"
    assert short.holds_known_key("text/x-demo") is False


def test_json_is_hidden_in_all_its_texts() -> None:
    value = [{"path": OWNERS, "message": [f"no {NAMED}", 1, None]}]
    assert redaction().redact_json(value) == [{"path": "********", "message": ["no ********", 1, None]}]


def test_lm_studios_token_is_no_known_key() -> None:
    """It has a key's form, and a client may send its own beside the gateway's key."""
    assert redaction("presented").holds_known_key(f"Bearer {NAMED}") is False
    assert redaction(NAMED).holds_known_key(f"Bearer {NAMED}") is True


def test_without_a_key_what_is_presented_is_the_clients_own() -> None:
    """It is forwarded, as is a word in a path that equals a client's dummy key."""
    assert redaction("models", key="").redact("/v1/models") == "/v1/models"
    assert redaction(NAMED, key="").holds_known_key(f"Bearer {NAMED}") is False


def test_an_empty_credential_hides_nothing() -> None:
    assert redaction("").redact("/v1/models") == "/v1/models"


@checked
@given(
    st.text(),
    st.text(alphabet=LETTERS, min_size=8, max_size=8),
    st.text(alphabet=LETTERS, min_size=20, max_size=20),
    st.text(),
)
def test_a_named_key_is_redacted_anywhere(before: str, key_id: str, secret: str, after: str) -> None:
    shown = redaction().redact(f"{before}sk-lm-{key_id}:{secret}{after}")
    assert f"sk-lm-{key_id}:{secret}" not in shown
