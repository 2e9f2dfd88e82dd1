"""Which header fields pass, in each direction."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from lmgateway.access.credentials import Redaction
from lmgateway.errors import BadRequest, LoopDetected
from lmgateway.traffic.headers import RequestFields, response_fields

KEY = "open sesame"
HOP_BY_HOP = {
    "Connection": "keep-alive",
    "Keep-Alive": "timeout=5",
    "Proxy-Authenticate": "Basic",
    "Proxy-Authorization": "Basic dTpw",
    "Proxy-Connection": "keep-alive",
    "TE": "trailers",
    "Trailer": "X-Sum",
    "Transfer-Encoding": "chunked",
    "Upgrade": "websocket",
}


def fields(*pairs: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(pairs))


def forward(headers: CIMultiDictProxy[str], gateway: RequestFields | None = None) -> CIMultiDict[str]:
    return (gateway or RequestFields()).forward(headers, holds_key=Redaction((KEY,)).holds_known_key)


def forwarded(*pairs: tuple[str, str]) -> list[tuple[str, str]]:
    """What LM Studio gets, but for the Via that is always there."""
    return list(forward(fields(*pairs)).items())[:-1]


def returned(*pairs: tuple[str, str]) -> list[tuple[str, str]]:
    return list(response_fields(fields(*pairs)).items())


both_ways = pytest.mark.parametrize("passing", [forwarded, returned], ids=["request", "response"])


@both_ways
@pytest.mark.parametrize("name", HOP_BY_HOP)
def test_a_hop_by_hop_field_ends_here(passing, name):
    """What two neighbours agree on about their connection is nobody else's."""
    assert passing((name.upper(), HOP_BY_HOP[name]), ("X-Kept", "1")) == [("X-Kept", "1")]


@both_ways
@pytest.mark.parametrize(
    "connection",
    [["X-Hop, x-OTHER"], ["close,X-Hop ,, X-Other"], ["X-Hop", "X-Other"]],
    ids=["list", "odd list", "two lines"],
)
def test_a_field_that_connection_names_ends_here(passing, connection):
    """RFC 9110 section 7.6.1: whatever Connection lists is for this hop."""
    lines = [("Connection", value) for value in connection]
    assert passing(("X-Hop", "1"), *lines, ("x-other", "2"), ("X-Kept", "3")) == [("X-Kept", "3")]


@both_ways
@pytest.mark.parametrize("name", ["Authorization", "Content-Length", "Content-Type", "Content-Encoding"])
def test_connection_cannot_take_what_a_message_needs(passing, name):
    """A body isn't parted from what describes it, whatever Connection lists."""
    assert passing(("Connection", name), (name, "7")) == [(name, "7")]


@both_ways
def test_repeated_fields_arrive_in_order(passing):
    """Two cookies are two cookies, and nothing is joined or sorted."""
    lines = [
        ("set-COOKIE", "b=1"),
        ("Link", "<x>"),
        ("set-COOKIE", "a=2, c"),
        ("Link", ""),
        ("set-COOKIE", "b=1"),
    ]
    assert passing(*lines) == lines


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
    """Latin-1, as browsers and Node send it, doesn't cost anybody the whole message."""
    assert passing(("X-Odd", value), ("X-Kept", "1")) == [("X-Kept", "1")]


@UNWRITABLE
def test_a_value_that_cannot_be_written_is_refused(value):
    """A request with control characters is a 400 that names the field, not a 500."""
    with pytest.raises(BadRequest, match="X-Odd"):
        forwarded(("X-Odd", value))


@UNWRITABLE
def test_a_value_that_cannot_be_written_is_left_out_of_an_answer(value):
    """One odd field of LM Studio's doesn't cost the client the whole answer."""
    assert returned(("X-Odd", value), ("X-Kept", "1")) == [("X-Kept", "1")]


@pytest.mark.parametrize("value", [KEY, "other", "", "\udcff"], ids=["key", "other", "empty", "no text"])
@pytest.mark.parametrize("name", ["X-API-Key", "x-api-key"])
def test_an_api_key_field_never_reaches_lm_studio(name, value):
    """The gateway's own key field ends at the gateway, whatever is in it."""
    assert forwarded((name, value)) == []


@pytest.mark.parametrize(
    "value",
    [
        f"Bearer {KEY}",
        f"bEARER   {KEY} ",
        pytest.param(KEY),
        pytest.param(f"Token {KEY}"),
        pytest.param(f"Bearer\t{KEY}"),
    ],
)
def test_an_authorization_with_the_key_never_reaches_lm_studio(value):
    """LM Studio, and whoever reads its log, doesn't learn the gateway's key."""
    assert forwarded(("X-API-Key", KEY), ("Authorization", value)) == []


@pytest.mark.parametrize(
    "value", ["Bearer lm-studio", "Basic dTpw", "Bearer", "", "sk-lm-ABCDEFGH:ABCDEFGHIJKLMNOPQRST"]
)
def test_a_clients_own_authorization_reaches_lm_studio(value):
    """A client may hold an API token of LM Studio's, beside the gateway's key."""
    assert forwarded(("Authorization", value)) == [("Authorization", value)]


@pytest.mark.parametrize(
    "name",
    ["Forwarded", "X-Real-IP", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port",
     "X-Forwarded-Prefix", "X-Forwarded-Proto", "X-Forwarded-Server", "Host", "Expect"],
)  # fmt: skip
def test_what_a_client_says_about_its_way_is_not_passed_on(name):
    """LM Studio doesn't believe a client about whom it is, or which host it asked."""
    assert forwarded((name.lower(), "127.0.0.1")) == []


@pytest.mark.parametrize(
    "name", ["X-Request-Id", "Access-Control-Allow-Origin", "access-control-allow-credentials"]
)
def test_the_gateway_answers_for_ids_and_origins(name):
    """LM Studio's own CORS setting doesn't open to web pages what the gateway keeps closed."""
    assert returned((name, "*")) == []


def test_via_is_added_to_the_way_so_far():
    """RFC 9110 section 7.6.3: a gateway says that it was there, behind those before it."""
    vias = forward(fields(("Via", "1.1 nginx"), ("Via", "1.0 lmgateway-00000000"))).getall("Via")
    assert vias[:2] == ["1.1 nginx", "1.0 lmgateway-00000000"]
    assert vias[2].startswith("1.1 lmgateway-")


@pytest.mark.parametrize(
    "later", ["{}", "{}, 1.1 nginx", "1.0 a, {} (comment)"], ids=["alone", "first", "within"]
)
def test_a_loop_is_detected(later):
    """A base_url that leads back here is told at once, and doesn't eat up every connection."""
    own = RequestFields()
    via = forward(fields(), own)["Via"]
    with pytest.raises(LoopDetected) as caught:
        forward(fields(("via", later.format(via))), own)
    assert caught.value.status == 508


def test_a_loop_is_detected_beside_obs_text():
    """What isn't forwarded is judged all the same."""
    own = RequestFields()
    with pytest.raises(LoopDetected):
        forward(fields(("Via", f"{forward(fields(), own)['Via']} (J\udcf6rg)")), own)


def test_two_gateways_in_a_row_are_no_loop():
    """One gateway may stand behind another."""
    once = CIMultiDictProxy(forward(fields()))
    assert len(forward(once).getall("Via")) == 2


def test_nothing_is_added_but_via():
    """LM Studio gets no User-Agent, Accept-Encoding or cookie that the client didn't send."""
    assert forward(fields()).keys() == {"Via"}
