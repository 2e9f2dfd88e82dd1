"""Which web pages may use the gateway."""

from __future__ import annotations

from contextlib import nullcontext

import msgspec
import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from lmgateway.access.cors import Cors, PageRefused, is_preflight
from lmgateway.config import Config, decode_custom
from lmgateway.errors import Forbidden

PAGE, STRANGER, OWN = "https://chat.example", "https://evil.example", "http://gateway:8002"
OPEN = {"auth": {"api_key": "k"}}
CLOSED: dict[str, object] = {}
WILD = {"cors": {"origins": ["*"]}}
LISTED = {"auth": {"api_key": "k"}, "cors": {"origins": [PAGE]}}
NOBODY = {"auth": {"api_key": "k"}, "cors": {"origins": []}}
BOTH = {"cors": {"origins": ["*", PAGE]}}
APPS = {
    "auth": {"api_key": "k"},
    "cors": {"origins": ["null", "file://", "chrome-extension://*", "safari-web-extension://ABC-DEF"]},
}
CHROME, SAFARI = "chrome-extension://abcdef", "safari-web-extension://ABC-DEF"
ALLOW = "Access-Control-Allow-Origin"


def cors(tables: dict[str, object]) -> Cors:
    config = msgspec.convert(tables, Config, dec_hook=decode_custom)
    return Cors(config, needs_key=bool(config.auth.api_key))


def admit(tables: dict[str, object], headers: CIMultiDictProxy[str], *, proxied: bool) -> None:
    """Admit a page that sends the key, if the gateway has one."""
    cors(tables).admit_origin(headers, proxied=proxied, with_key="auth" in tables)


def fields(**values: str) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict((name.replace("_", "-"), value) for name, value in values.items()))


@pytest.mark.parametrize(
    ("tables", "origin", "proxied", "allowed"),
    [
        pytest.param(CLOSED, PAGE, True, None, id="nothing before a key is set"),
        pytest.param(OPEN, PAGE, True, "*", id="everybody once there is a key"),
        pytest.param(OPEN, None, True, "*", id="also without Origin"),
        pytest.param(OPEN, "null", True, "*", id="also a local file"),
        pytest.param(OPEN, PAGE, False, None, id="but not /admin"),
        pytest.param(WILD, PAGE, True, "*", id="* without a key"),
        pytest.param(WILD, PAGE, False, None, id="* is not /admin"),
        pytest.param(WILD, "*", False, None, id="* as an origin"),
        pytest.param(LISTED, PAGE, True, PAGE, id="listed"),
        pytest.param(LISTED, PAGE, False, PAGE, id="listed, /admin too"),
        pytest.param(LISTED, STRANGER, True, None, id="not listed"),
        pytest.param(LISTED, STRANGER, False, None, id="not listed, /admin"),
        pytest.param(LISTED, f"{PAGE}.evil.example", True, None, id="listed name as a prefix"),
        pytest.param(LISTED, "http://chat.example", True, None, id="another scheme"),
        pytest.param(LISTED, f"{PAGE}:444", True, None, id="another port"),
        pytest.param(LISTED, None, True, None, id="listed, no Origin"),
        pytest.param(NOBODY, PAGE, True, None, id="an empty list is nobody"),
        pytest.param(APPS, "null", True, "null", id="a local file"),
        pytest.param(APPS, "null", False, None, id="any page can be a sandboxed one: not /admin"),
        pytest.param(APPS, "file://", False, "file://", id="a local file in an app"),
        pytest.param(APPS, CHROME, True, CHROME, id="an extension of Chrome's"),
        pytest.param(APPS, CHROME, False, None, id="an extension not listed by name, /admin"),
        pytest.param(APPS, SAFARI, False, SAFARI, id="an extension of Safari's, /admin"),
        pytest.param(APPS, SAFARI.lower(), True, None, id="another extension of Safari's"),
        pytest.param(APPS, "moz-extension://a", True, None, id="another browser's extension"),
        pytest.param(APPS, "https://chrome-extension://a", True, None, id="what looks like an extension"),
        pytest.param(BOTH, STRANGER, True, "*", id="* beside a name"),
        pytest.param(BOTH, PAGE, False, PAGE, id="name beside *, /admin"),
    ],
)
def test_a_page_reads_what_its_origin_may(tables, origin, proxied, allowed):
    """Only pages of allowed origins can read a response."""
    assert cors(tables).response_headers(origin, proxied=proxied).get(ALLOW) == allowed


@pytest.mark.parametrize("origin", [PAGE, STRANGER, None])
def test_an_answer_that_depends_on_the_origin_says_so(origin):
    """Or a cache would give one page's response to another."""
    assert cors(LISTED).response_headers(origin, proxied=True)["Vary"] == "Origin"


def test_a_preflight_is_granted_what_it_asks_for():
    """A page may send its method, its headers and its key, also from a public address into the LAN."""
    asked = fields(
        Origin=PAGE,
        Access_Control_Request_Method="DELETE",
        Access_Control_Request_Headers="authorization,x-mine",
        Access_Control_Request_Private_Network="true",
    )
    granted = cors(OPEN).preflight_headers(asked, proxied=True)
    assert granted["Access-Control-Allow-Methods"] == "DELETE"
    assert granted["Access-Control-Allow-Headers"] == "authorization,x-mine"
    assert granted["Access-Control-Allow-Private-Network"] == "true"


def test_a_preflight_is_granted_no_more_than_it_asks_for():
    """The private network is opened only to a page that asks for it."""
    granted = cors(OPEN).preflight_headers(
        fields(Origin=PAGE, Access_Control_Request_Method="GET"), proxied=True
    )
    assert granted.keys() == {"Access-Control-Allow-Methods", "Access-Control-Max-Age"}


@pytest.mark.parametrize(
    ("tables", "sent", "admitted"),
    [
        pytest.param(CLOSED, {}, True, id="no browser"),
        pytest.param(CLOSED, {"Origin": OWN}, True, id="own page"),
        pytest.param(CLOSED, {"Origin": "https://gateway:8002"}, True, id="own page behind TLS"),
        pytest.param(CLOSED, {"Origin": OWN, "Host": "Gateway:8002"}, True, id="Host in capitals"),
        pytest.param(CLOSED, {"Origin": OWN, "Sec_Fetch_Site": "cross-site"}, False, id="own and cross-site"),
        pytest.param(CLOSED, {"Origin": OWN, "Sec_Fetch_Site": "same-origin"}, True, id="own, same-origin"),
        pytest.param(CLOSED, {"Origin": "x://gateway:8002"}, False, id="another scheme"),
        pytest.param(CLOSED, {"Sec_Fetch_Site": "same-origin"}, True, id="same-origin"),
        pytest.param(CLOSED, {"Sec_Fetch_Site": "none"}, True, id="typed by the user"),
        pytest.param(CLOSED, {"Sec_Fetch_Site": "cross-site"}, False, id="cross-site"),
        pytest.param(OPEN, {"Origin": STRANGER}, False, id="stranger, even with a key"),
        pytest.param(OPEN, {"Origin": "http://gateway:8003"}, False, id="another port"),
        pytest.param(OPEN, {"Origin": "http://gateway"}, False, id="without the port"),
        pytest.param(OPEN, {"Origin": "null"}, False, id="sandboxed page"),
        pytest.param(OPEN, {"Origin": ""}, False, id="empty Origin"),
        pytest.param(
            OPEN,
            {"Origin": "null", "Host": ""},
            False,
            id="no Host",
        ),
        pytest.param(WILD, {"Origin": STRANGER}, False, id="* is not /admin"),
        pytest.param(WILD, {"Origin": "*"}, False, id="* as an origin"),
        pytest.param(LISTED, {"Origin": PAGE}, True, id="listed"),
        pytest.param(LISTED, {"Origin": PAGE, "Sec_Fetch_Site": "cross-site"}, True, id="listed, cross-site"),
        pytest.param(LISTED, {"Origin": STRANGER}, False, id="not listed"),
        pytest.param(CLOSED, {"Origin": STRANGER}, False, id="no key"),
        pytest.param(
            OPEN, {"Origin": PAGE, "Sec_Fetch_Site": "same-origin"}, True, id="a proxy that replaces Host"
        ),
        pytest.param(
            CLOSED, {"Origin": PAGE, "Sec_Fetch_Site": "same-origin"}, False, id="the same without a key"
        ),
        pytest.param(OPEN, {"Origin": PAGE, "Sec_Fetch_Site": "same-site"}, False, id="a neighbour's page"),
        pytest.param(OPEN, {"Origin": PAGE, "Sec_Fetch_Site": "none"}, False, id="what no browser sends"),
        pytest.param(APPS, {"Origin": "null"}, False, id="listed null"),
        pytest.param(APPS, {"Origin": SAFARI}, True, id="listed extension"),
    ],
)
def test_only_own_and_listed_pages_may_use_admin(tables, sent, admitted):
    """Another site's page can't load a model."""
    headers = fields(**{"Host": "gateway:8002", **sent})
    with nullcontext() if admitted else pytest.raises(Forbidden):
        admit(tables, headers, proxied=False)


KEYLESS_LISTED = {"cors": {"origins": [PAGE]}}
KEYLESS_APPS = {"cors": APPS["cors"]}


@pytest.mark.parametrize(
    ("tables", "sent", "admitted"),
    [
        pytest.param(CLOSED, {}, True, id="no browser"),
        pytest.param(CLOSED, {"Origin": OWN}, True, id="own page"),
        pytest.param(CLOSED, {"Origin": "http://gateway", "Host": "gateway:80"}, True, id="port 80 added"),
        pytest.param(CLOSED, {"Origin": "https://gateway", "Host": "gateway:443"}, True, id="port 443 added"),
        pytest.param(CLOSED, {"Origin": "https://gateway", "Host": "gateway:80"}, False, id="another's port"),
        pytest.param(CLOSED, {"Origin": "http://gateway:8003"}, False, id="a neighbour's page"),
        pytest.param(CLOSED, {"Origin": STRANGER}, False, id="stranger"),
        pytest.param(CLOSED, {"Origin": STRANGER, "Sec_Fetch_Site": "same-origin"}, False, id="rebound name"),
        pytest.param(CLOSED, {"Origin": "null"}, False, id="sandboxed page"),
        pytest.param(CLOSED, {"Origin": "file://"}, False, id="local file"),
        pytest.param(CLOSED, {"Origin": CHROME}, False, id="extension"),
        pytest.param(CLOSED, {"Origin": ""}, False, id="empty Origin"),
        pytest.param(CLOSED, {"Origin": f"{OWN}, {STRANGER}"}, False, id="two in one line"),
        pytest.param(CLOSED, {"Origin": "http://", "Host": ""}, False, id="no host in either"),
        pytest.param(CLOSED, {"Sec_Fetch_Site": "cross-site"}, False, id="link of another site"),
        pytest.param(CLOSED, {"Origin": OWN, "Sec_Fetch_Site": "cross-site"}, False, id="own and cross-site"),
        pytest.param(CLOSED, {"Sec_Fetch_Site": "none"}, True, id="typed by the user"),
        pytest.param(CLOSED, {"Sec_Fetch_Site": "same-origin"}, True, id="same-origin"),
        pytest.param(WILD, {"Origin": STRANGER, "Sec_Fetch_Site": "cross-site"}, True, id="* lists it"),
        pytest.param(WILD, {"Sec_Fetch_Site": "cross-site"}, True, id="* lists what sends no Origin"),
        pytest.param(KEYLESS_LISTED, {"Origin": PAGE, "Sec_Fetch_Site": "cross-site"}, True, id="listed"),
        pytest.param(KEYLESS_LISTED, {"Origin": STRANGER}, False, id="another than the listed one"),
        pytest.param(KEYLESS_LISTED, {"Sec_Fetch_Site": "cross-site"}, False, id="listed, but no Origin"),
        pytest.param(KEYLESS_APPS, {"Origin": "null", "Sec_Fetch_Site": "cross-site"}, True, id="null"),
        pytest.param(KEYLESS_APPS, {"Origin": "file://"}, True, id="listed local file"),
        pytest.param(KEYLESS_APPS, {"Origin": CHROME}, True, id="listed extensions"),
        pytest.param(KEYLESS_APPS, {"Origin": "moz-extension://a"}, False, id="another browser's extension"),
        pytest.param(OPEN, {"Origin": STRANGER, "Sec_Fetch_Site": "cross-site"}, True, id="it has the key"),
        pytest.param(NOBODY, {"Origin": STRANGER}, True, id="it has the key, and may not read the answer"),
    ],
)
def test_a_page_without_a_key_uses_no_model(tables, sent, admitted):
    """Its visitor's address isn't a key: any page that is open on this machine could use it."""
    headers = fields(**{"Host": "gateway:8002", **sent})
    with nullcontext() if admitted else pytest.raises(PageRefused, match=r"cors\.origins"):
        admit(tables, headers, proxied=True)


def test_the_refusal_says_what_a_proxy_must_pass_on():
    """The dashboard behind a proxy that replaces Host, in a browser without Sec-Fetch-Site."""
    with pytest.raises(Forbidden) as caught:
        admit(OPEN, fields(Host="127.0.0.1:8002", Origin="http://llm.example.com"), proxied=False)
    assert "proxy_set_header Host $http_host" in str(caught.value.details)


def test_two_values_of_sec_fetch_site_are_ignored():
    """A client can't choose which one counts."""
    headers = CIMultiDict({"Host": "gateway:8002", "Origin": PAGE, "Sec-Fetch-Site": "same-origin"})
    headers.add("Sec-Fetch-Site", "cross-site")
    with pytest.raises(Forbidden):
        admit(OPEN, CIMultiDictProxy(headers), proxied=False)


@pytest.mark.parametrize("origins", [(OWN, STRANGER), (STRANGER, OWN), (PAGE, STRANGER), (STRANGER, PAGE)])
def test_each_of_two_origins_must_be_allowed(origins):
    """Either may be the browser's."""
    headers = CIMultiDict({"Host": "gateway:8002"})
    headers.extend(("Origin", origin) for origin in origins)
    with pytest.raises(Forbidden):
        admit(LISTED, CIMultiDictProxy(headers), proxied=False)


@pytest.mark.parametrize(
    ("method", "names", "preflight"),
    [
        ("OPTIONS", ["Origin", "Access_Control_Request_Method"], True),
        ("OPTIONS", ["Origin"], False),
        ("OPTIONS", ["Access_Control_Request_Method"], False),
        ("GET", ["Origin", "Access_Control_Request_Method"], False),
    ],
    ids=["preflight", "no method asked", "no Origin", "no OPTIONS"],
)
def test_only_a_preflight_needs_no_key(method, names, preflight):
    """Other OPTIONS requests do."""
    assert is_preflight(method, fields(**dict.fromkeys(names, "x"))) is preflight
