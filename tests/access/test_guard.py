"""The allowlist, protected mode, and host names."""

from __future__ import annotations

from contextlib import nullcontext

import msgspec
import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from lmgateway.access.guard import Guard
from lmgateway.config import Config, decode_custom
from lmgateway.errors import Forbidden, Misdirected
from lmgateway.networks import parse_address

KEY = "Open Sesame"


def guard(**tables: dict[str, object]) -> Guard:
    config = msgspec.convert(tables, Config, dec_hook=decode_custom)
    return Guard(config, needs_key=bool(config.auth.api_key))


def fields(*pairs: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(pairs))


LOOPBACK, LAN = "127.0.0.1", "192.168.1.7"


@pytest.mark.parametrize(
    ("tables", "peer", "admitted"),
    [
        pytest.param({}, LOOPBACK, True, id="protected, loopback"),
        pytest.param({}, "127.8.8.8", True, id="protected, all of 127/8"),
        pytest.param({}, "::1", True, id="protected, v6 loopback"),
        pytest.param({}, "::ffff:127.0.0.1", True, id="protected, mapped loopback"),
        pytest.param({}, LAN, False, id="protected, LAN"),
        pytest.param({}, "::ffff:192.168.1.7", False, id="protected, mapped LAN"),
        pytest.param({}, "fe80::1%eth0", False, id="protected, link-local"),
        pytest.param({"auth": {"api_key": "k"}}, LAN, True, id="a key ends it"),
        pytest.param({"network": {"ip_allowlist": ["*"]}}, LAN, True, id="* ends it"),
        pytest.param({"network": {"ip_allowlist": [LAN]}}, LAN, True, id="listed"),
        pytest.param({"network": {"ip_allowlist": [LAN]}}, "::ffff:192.168.1.7", True, id="listed, mapped"),
        pytest.param({"network": {"ip_allowlist": [LAN]}}, LOOPBACK, False, id="this machine isn't listed"),
        pytest.param(
            {"network": {"ip_allowlist": [LAN]}, "auth": {"api_key": "k"}}, LOOPBACK, False, id="both"
        ),
    ],
)
def test_only_allowed_addresses_are_admitted(tables, peer, admitted):
    """Only listed addresses, and without any configuration only loopback."""
    with nullcontext() if admitted else pytest.raises(Forbidden):
        assert guard(**tables).admit_address(parse_address(peer), fields()) == parse_address(peer)


def test_the_refusal_of_protected_mode_says_how_to_end_it():
    """The error names the setting that admits other machines."""
    with pytest.raises(Forbidden) as caught:
        guard().admit_address(parse_address(LAN), fields())
    assert "GATEWAY_API_KEY" in caught.value.details
    assert (caught.value.status, caught.value.title) == (403, "Forbidden")


@pytest.mark.parametrize(
    ("network", "peer", "forwarded_for"),
    [
        pytest.param({}, LAN, LOOPBACK, id="protected, untrusted peer"),
        pytest.param({"trusted_proxies": [LAN]}, LAN, f"{LOOPBACK}, 10.0.0.1", id="protected, invented hop"),
        pytest.param({"trusted_proxies": [LOOPBACK]}, LOOPBACK, LAN, id="protected, behind a local proxy"),
        pytest.param({"ip_allowlist": [LAN]}, "10.0.0.1", LAN, id="listed address claimed"),
    ],
)
def test_no_forwarding_header_gives_access(network, peer, forwarded_for):
    """A client can't claim an admitted address."""
    with pytest.raises(Forbidden):
        guard(network=network).admit_address(parse_address(peer), fields(("X-Forwarded-For", forwarded_for)))


@pytest.mark.parametrize("forwarded_for", [LOOPBACK, "::1", f"{LAN}, {LOOPBACK}", f"{LOOPBACK}, {LOOPBACK}"])
def test_a_loopback_client_of_a_trusted_loopback_proxy_is_admitted(forwarded_for):
    """The proxy's own address may be its client's too."""
    trusting = guard(network={"trusted_proxies": [LOOPBACK]})
    forwarded = fields(("X-Forwarded-For", forwarded_for))
    opens = LAN not in forwarded_for
    with nullcontext() if opens else pytest.raises(Forbidden):
        assert trusting.admit_address(parse_address(LOOPBACK), forwarded).is_loopback


@pytest.mark.parametrize(
    "sent",
    [
        ("X-Forwarded-For", "unknown"),
        ("X-Forwarded-For", f"{LAN}, unknown"),
        ("X-Forwarded-For", ""),
        ("Forwarded", f"for={LAN}"),
        ("X-Real-IP", LAN),
    ],
)
@pytest.mark.parametrize(
    "tables",
    [
        pytest.param({}, id="protected"),
        pytest.param({"network": {"ip_allowlist": [LOOPBACK]}}, id="the proxy is listed"),
        pytest.param({"auth": {"api_key": "k"}}, id="key"),
    ],
)
def test_a_client_that_a_trusted_proxy_hides_has_no_rights(tables, sent):
    """Least of all the proxy's own; the refusal says what the proxy must send."""
    trusting = {**tables, "network": {**tables.get("network", {}), "trusted_proxies": [LOOPBACK]}}
    with pytest.raises(Forbidden, match="X-Forwarded-For must end in the client's address"):
        guard(**trusting).admit_address(parse_address(LOOPBACK), fields(sent))


def test_the_proxy_itself_is_a_client_like_any_other():
    """What comes from its address without a sign of a proxy is its own request."""
    trusting = guard(network={"trusted_proxies": [LOOPBACK], "ip_allowlist": [LOOPBACK]})
    assert str(trusting.admit_address(parse_address(LOOPBACK), fields())) == LOOPBACK


OURS = [
    "localhost",
    "LOCALHOST:8002",
    "localhost.",
    "127.0.0.1:8002",
    "192.168.1.7",
    "[::1]:8002",
    "[fe80::1]",
]
OURS += ["printer", "Studio.local:80", "studio.local.", "ai.example.com", "AI.Example.Com.:443"]
OURS += ["host.docker.internal:8002", "HOST.containers.internal.", "nas.home.arpa"]
THEIRS = [".", "evil.com", "evil.com:8002", "evil.com.", "127.1.evil"]
THEIRS += ["a.ai.example.com", "ai.example.com.evil.com", "127.0.0.1.evil.com"]
THEIRS += ["local.evil.com", "studio.local.evil.com", "evil.notlocal"]
THEIRS += [
    "host.docker.internal.evil.com",
    "evil.notinternal",
    "home.arpa.evil.com",
    "evil.arpa",
    "evilhome.arpa",
]
OPEN = {"network": {"ip_allowlist": ["*"]}}


@pytest.mark.parametrize("host", OURS)
def test_a_local_host_name_is_served(host):
    """Without a key: addresses, and names that no web page can resolve to the gateway."""
    guard(server={"names": ["Ai.Example.com."]}, **OPEN).admit_host(host)


@pytest.mark.parametrize("host", THEIRS)
def test_a_foreign_host_is_misdirected(host):
    """Without a key, a web page whose name resolves to the gateway (DNS rebinding) gets 421."""
    with pytest.raises(Misdirected) as caught:
        guard(server={"names": ["ai.example.com"]}, **OPEN).admit_host(host)
    assert caught.value.status == 421


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost.:80",
        "127.0.0.1:8002",
        "127.8.8.8",
        "[::1]:8002",
        "[::1%lo]",
        "[::ffff:127.0.0.1]",
        "[0:0:0:0:0:0:0:1]",
    ],
)
def test_protected_mode_serves_loopback_names(host):
    """Without any configuration."""
    guard().admit_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.local",
        "EVIL.Local.:8002",
        "printer",
        "192.168.1.7",
        "[fe80::1]",
        "[fe80::1%lo]",
        "host.docker.internal",
        "localhost.evil.com",
        "evil.localhost",
        "localhost.local",
        "127.0.0.1.evil.com",
        "127.1",
        "0x7f.0.0.1",
        "2130706433",
        "0.0.0.0",
        "[::]",
        "[::ffff:192.168.1.7]",
        "[::7f00:1]",
    ],
)
def test_protected_mode_serves_no_other_name(host):
    """Another machine could resolve such a name."""
    with pytest.raises(Misdirected, match="GATEWAY_API_KEY"):
        guard(server={"names": ["printer"]}).admit_host(host)


@pytest.mark.parametrize(
    ("tables", "peer", "forwarded", "named"),
    [
        ({}, LAN, None, "192.168.1.7 is not served."),
        ({}, LOOPBACK, LAN, "127.0.0.1 through a proxy is not served."),
        ({"network": {"ip_allowlist": ["10.0.0.0/8"]}}, "::ffff:172.17.0.2", None, "172.17.0.2 is not on"),
        (
            {"network": {"ip_allowlist": ["10.0.0.0/8"], "trusted_proxies": [LOOPBACK]}},
            LOOPBACK,
            LAN,
            "192.168.1.7 is not on",
        ),
    ],
    ids=["protected", "through a proxy", "a container", "behind a trusted proxy"],
)
def test_a_refusal_names_the_checked_address(tables, peer, forwarded, named):
    """A container, a VPN or a proxy may have another address than expected."""
    sent = () if forwarded is None else (("X-Forwarded-For", forwarded),)
    with pytest.raises(Forbidden) as caught:
        guard(**tables).admit_address(parse_address(peer), fields(*sent))
    assert str(caught.value.details).startswith(named)


def test_with_a_key_any_host_name_is_served():
    """A page can't send the key."""
    guard(auth={"api_key": KEY}).admit_host("ai.example.com")
