"""Which header fields pass, in each direction."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from lmgateway.access.credentials import Redaction
from lmgateway.errors import BadRequest, LoopDetected
from lmgateway.traffic.headers import RequestFields, response_fields

KEY = "open sesame"


def fields(*pairs: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(pairs))


def forward(headers: CIMultiDictProxy[str], gateway: RequestFields | None = None) -> CIMultiDict[str]:
    return (gateway or RequestFields()).forward(headers, holds_key=Redaction((KEY,)).holds_known_key)


def forwarded(*pairs: tuple[str, str]) -> list[tuple[str, str]]:
    """The fields for LM Studio without Host, which is always the first, and Via, the last."""
    first, *others, last = forward(fields(*pairs)).items()
    assert (first, last[0]) == (("Host", ""), "Via")
    return others


def returned(*pairs: tuple[str, str]) -> list[tuple[str, str]]:
    return list(response_fields(fields(*pairs)).items())


both_ways = pytest.mark.parametrize("passing", [forwarded, returned], ids=["request", "response"])


@both_ways
@pytest.mark.parametrize("name", ["Authorization", "Content-Length", "Content-Type", "Content-Encoding"])
def test_connection_cannot_take_what_a_message_needs(passing, name):
    """Connection can't remove the fields that describe a body."""
    assert passing(("Connection", name), (name, "7")) == [(name, "7")]


@both_ways
@pytest.mark.parametrize("value", ["", "a\tb", "café", "日本", '"quoted, \\" text"', "a:b;c=d"])
def test_an_odd_value_arrives(passing, value):
    """Tabs, UTF-8 and punctuation are legal in a field and stay as they are."""
    assert passing(("X-Odd", value)) == [("X-Odd", value)]


UNWRITABLE = pytest.mark.parametrize(
    "value",
    ["a\rb", "a\nb", "a\x00b", "\x1b[31m", "\x7f"],
    ids=["CR", "LF", "NUL", "ESC", "DEL"],
)


@both_ways
@pytest.mark.parametrize("value", ["\udcff", "J\udcf6rg", "é\udce9"])
def test_obs_text_is_left_out(passing, value):
    """A field in Latin-1, as browsers and Node send it, isn't a reason to refuse the message."""
    assert passing(("X-Odd", value), ("X-Kept", "1")) == [("X-Kept", "1")]


@UNWRITABLE
def test_a_value_that_cannot_be_written_is_refused(value):
    """A request with control characters is a 400 that names the field, not a 500."""
    with pytest.raises(BadRequest, match="X-Odd"):
        forwarded(("X-Odd", value))


@UNWRITABLE
def test_a_value_that_cannot_be_written_is_left_out_of_an_answer(value):
    """The rest of the response is relayed."""
    assert returned(("X-Odd", value), ("X-Kept", "1")) == [("X-Kept", "1")]


@pytest.mark.parametrize("value", [KEY, "other", "", "\udcff"], ids=["key", "other", "empty", "no text"])
@pytest.mark.parametrize("name", ["X-API-Key", "x-api-key"])
def test_an_api_key_field_never_reaches_lm_studio(name, value):
    """The gateway's own key field is dropped, whatever its value."""
    assert forwarded((name, value)) == []


@pytest.mark.parametrize("name", ["Authorization", "api-key", "Cookie", "X_API_KEY"])
@pytest.mark.parametrize(
    "value",
    [
        *(f"Bearer {KEY}", f"bEARER   {KEY} ", KEY, f"Token {KEY}", f"Bearer\t{KEY}", f'Bearer "{KEY}"'),
        *(f"a={KEY}; b", f"Bearer Bearer {KEY}"),
    ],
)
def test_the_key_reaches_lm_studio_in_no_header(name, value):
    """A field that contains the key, also within a longer word, is dropped."""
    sent = ((name, value), ("X-Other", f"{KEY}s"), ("X-Other", f"x{KEY}"), ("X-Other", KEY[:-1]))
    assert forwarded(("X-API-Key", KEY), *sent) == [("X-Other", KEY[:-1])]


@pytest.mark.parametrize(
    "value", ["Bearer lm-studio", "Basic dTpw", "Bearer", "", "sk-lm-ABCDEFGH:ABCDEFGHIJKLMNOPQRST"]
)
def test_a_clients_own_authorization_reaches_lm_studio(value):
    """A client may have an API token of LM Studio's beside the gateway's key."""
    assert forwarded(("Authorization", value)) == [("Authorization", value)]


def test_a_loop_is_detected_beside_obs_text():
    """Fields that aren't forwarded are checked too."""
    own = RequestFields()
    with pytest.raises(LoopDetected):
        forward(fields(("Via", f"{forward(fields(), own)['Via']} (J\udcf6rg)")), own)
