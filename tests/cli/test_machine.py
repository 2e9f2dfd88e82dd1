"""Which of a machine's networks are a LAN, and what follows from them."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from lmgateway.cli.machine import Interfaces, LanAddress, host_for, interfaces
from lmgateway.cli.urls import lan_urls, own_url
from lmgateway.config import Config, decode_custom

V4, V6 = socket.AF_INET, socket.AF_INET6
LONG = "ffff:ffff:ffff:ffff::"


def entry(family: int, address: str, netmask: str | None, ptp: str | None = None) -> SimpleNamespace:
    """An address as psutil has it."""
    return SimpleNamespace(family=family, address=address, netmask=netmask, broadcast=None, ptp=ptp)


def looked_up(flags: str = "up,broadcast", *, up: bool = True, **given: Any) -> Interfaces:
    named = {name.replace("_", "-"): entries for name, entries in given.items()}
    states = {name: SimpleNamespace(isup=up, flags=flags) for name in named}
    return interfaces(named, states)


def lans(flags: str = "up,broadcast", *, up: bool = True, **given: Any) -> list[LanAddress]:
    return looked_up(flags, up=up, **given).lan


HOME = entry(V4, "192.168.1.10", "255.255.255.0")
OFFICE = entry(V4, "10.20.3.4", "255.255.0.0")
PUBLIC = entry(V4, "8.8.8.8", "255.255.255.0")
ULA = entry(V6, "fd12::10", LONG)
GLOBAL = entry(V6, "2606:4700::10", LONG)
LINK_LOCAL = entry(V6, "fe80::1%eth0", LONG)


def test_networks_are_the_interfaces_own() -> None:
    """Private ones first, IPv4 before IPv6, with the network that the mask says."""
    places = lans(eth0=[PUBLIC, ULA, LINK_LOCAL], eth1=[OFFICE], wlan0=[HOME])
    assert [(one.interface, str(one.network), one.is_private) for one in places] == [
        ("eth1", "10.20.0.0/16", True),
        ("wlan0", "192.168.1.0/24", True),
        ("eth0", "fd12::/64", True),
        ("eth0", "8.8.8.0/24", False),
    ]


def test_windows_has_no_masks_of_ipv6() -> None:
    """A LAN's is 64 long."""
    assert [str(one.network) for one in lans(Ethernet=[entry(V6, "fd12::10", None)])] == ["fd12::/64"]


@pytest.mark.parametrize(
    "interface",
    ["docker0", "br-0123456789ab", "veth1a2b", "virbr0", "tun0", "wg0", "tailscale0", "utun3", "vmnet8"],
)
def test_others_networks_are_left_out(interface: str) -> None:
    """Containers, virtual machines and VPNs are let in only if the user adds them."""
    assert lans(**{interface: [HOME]}) == []


CONTAINERS, VPN = "containers or virtual machines", "a VPN"
ALONE_V4, ALONE_V6 = "255.255.255.255", "ffff:" * 7 + "ffff"
TAILSCALE = [entry(V4, "100.101.102.103", ALONE_V4), entry(V6, "fd7a:115c:a1e0::1", ALONE_V6)]
PEER = entry(V4, "10.8.0.2", ALONE_V4)


@pytest.mark.parametrize(
    ("interface", "entries", "kind", "networks"),
    [
        ("docker0", [HOME, LINK_LOCAL], CONTAINERS, ["192.168.1.0/24"]),
        ("vEthernet (WSL)", [HOME], CONTAINERS, ["192.168.1.0/24"]),
        ("tailscale0", TAILSCALE, VPN, ["100.64.0.0/10", "fd7a:115c:a1e0::/48"]),
        ("utun4", TAILSCALE[:1], VPN, ["100.64.0.0/10"]),
        ("wg0", [OFFICE], VPN, ["10.20.0.0/16"]),
        ("wg0", [PEER], VPN, ["10.8.0.2"]),
        ("awdl0", [LINK_LOCAL], "", []),
        ("ppp0", [PEER], "", []),
    ],
)
def test_others_networks_are_named(
    interface: str, entries: list[Any], kind: str, networks: list[str]
) -> None:
    """With what is to be added to the allowlist for them."""
    others = looked_up("up,pointopoint", **{interface: entries}).others
    assert [(one.interface, one.kind, one.network) for one in others] == [
        (interface, kind, one) for one in networks
    ]


@pytest.mark.parametrize(
    "entries",
    [
        [entry(V4, "127.0.0.1", "255.0.0.0"), entry(V6, "::1", "ffff:" * 7 + "ffff")],
        [entry(V4, "169.254.3.4", "255.255.0.0"), LINK_LOCAL],
        [entry(V4, "10.0.0.1", "255.255.255.0", ptp="10.0.0.2")],
        [entry(V4, "10.0.0.1", "255.255.255.255"), entry(V4, "10.0.0.1", None)],
        [SimpleNamespace(family=17, address="02:fc:00:00:00:01", netmask=None, broadcast=None, ptp=None)],
    ],
    ids=["loopback", "link-local", "point to point", "alone", "hardware"],
)
def test_addresses_without_neighbours_are_left_out(entries: list[SimpleNamespace]) -> None:
    """They are no LAN."""
    assert lans(eth0=entries) == []


def test_interfaces_that_are_down_are_left_out() -> None:
    """And so are links between two machines, whatever they are called."""
    assert lans(eth0=[HOME], up=False) == []
    assert lans("up,pointopoint,running", ppp0=[HOME]) == []


def test_a_bridge_is_named_before_its_first_container_runs() -> None:
    """Until then it is down, and its network is the same."""
    down = looked_up("broadcast", up=False, docker0=[HOME], wg0=[OFFICE])
    assert [one.interface for one in down.others] == ["docker0"]


@pytest.mark.parametrize(
    ("entries", "ipv6", "host"),
    [
        ([], True, "127.0.0.1"),
        ([PUBLIC], True, "127.0.0.1"),
        ([HOME], False, "0.0.0.0"),
        ([HOME], True, "::"),
        ([HOME, ULA], True, "::"),
        ([HOME, ULA, GLOBAL], True, "0.0.0.0"),
        ([HOME, PUBLIC], True, "::"),
    ],
)
def test_listens_where_neighbours_may_come_from(entries: list[Any], ipv6: bool, host: str) -> None:
    """Loopback without a LAN; IPv6 only if none of its addresses would be refused."""
    assert host_for(lans(eth0=entries), ipv6=ipv6) == host


@pytest.mark.parametrize(
    ("host", "allowlist", "urls"),
    [
        ("::", ["*"], ["http://192.168.1.10:8002", "http://[fd12::10]:8002"]),
        ("0.0.0.0", ["*"], ["http://192.168.1.10:8002"]),
        ("::", ["fd12::/64"], ["http://[fd12::10]:8002"]),
        ("fd12::10", ["*"], ["http://[fd12::10]:8002"]),
        ("127.0.0.1", ["*"], []),
    ],
)
def test_urls_are_those_that_work(host: str, allowlist: list[str], urls: list[str]) -> None:
    """Addresses where the gateway doesn't listen or refuses every client are left out."""
    tables = {"server": {"host": host}, "network": {"ip_allowlist": allowlist}}
    config = msgspec.convert(tables, Config, dec_hook=decode_custom)
    assert lan_urls(config, lans(eth0=[HOME, ULA])) == urls


@pytest.mark.parametrize(
    ("server", "url"),
    [
        ({}, "http://127.0.0.1:8002"),
        ({"host": "::", "port": 80}, "http://localhost:80"),
        ({"host": "fd12::10", "tls_cert": "a.pem"}, "https://[fd12::10]:8002"),
    ],
)
def test_own_url(server: dict[str, object], url: str) -> None:
    """Where the machine itself finds its gateway."""
    assert own_url(msgspec.convert({"server": server}, Config, dec_hook=decode_custom)) == url
