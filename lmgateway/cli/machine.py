"""This machine's network addresses and its mDNS name."""

from __future__ import annotations

import platform
import re
import socket
import sys
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Literal

import psutil
from msgspec import Struct

from ..networks import Address, parse_address

Network = IPv4Network | IPv6Network

ANY_IPV4, ANY = "0.0.0.0", "::"  # noqa: S104 - the allowlist decides who is admitted
LOOPBACK = ("127.0.0.0/8", "::1")
LINK_LOCAL_V6 = "fe80::/10"

# Interfaces of containers, virtual machines and VPNs. No machine of the LAN is on their networks.
_CONTAINERS = re.compile(
    r"docker|br-[0-9a-f]{12}|veth|podman|cni|flannel|cali|lxcbr|lxdbr|incusbr|virbr|vmnet|vboxnet|bridge\d"
    r"|VMware |VirtualBox |vEthernet \((WSL|Default Switch)",
    re.IGNORECASE,
)
_VPN = re.compile(r"tun|tap|wg|tailscale|utun", re.IGNORECASE)
_NEITHER = re.compile(r"awdl|llw", re.IGNORECASE)
# https://tailscale.com/kb/1304: an interface has a single address from these networks.
_TAILSCALE = (ip_network("100.64.0.0/10"), ip_network("fd7a:115c:a1e0::/48"))
_POINT_TO_POINT = {"pointopoint", "pointtopoint"}
_AVAHI = Path("/run/avahi-daemon/socket")
_CONTAINER_SIGNS = (Path("/.dockerenv"), Path("/run/.containerenv"))


class LanAddress(Struct, frozen=True):
    """An address of this machine on a network, and that network."""

    interface: str
    address: Address
    network: Network

    @property
    def is_private(self) -> bool:
        """True if the network isn't routed on the internet: RFC 1918, ULA and the like."""
        return self.network.is_private


class OtherNetwork(Struct, frozen=True, order=True):
    """A network that isn't the LAN. `network` is a single address if a VPN's interface has no netmask."""

    interface: str
    kind: Literal["containers or virtual machines", "a VPN"]
    network: str


class Interfaces(Struct, frozen=True):
    """This machine's networks. `lan` is sorted: private networks first, then IPv4 before IPv6."""

    lan: list[LanAddress]
    others: list[OtherNetwork]


def interfaces(
    addresses: Mapping[str, Sequence[Any]] | None = None, states: Mapping[str, Any] | None = None
) -> Interfaces:
    """Return this machine's networks. The parameters are psutil's `net_if_addrs()` and `net_if_stats()`.

    Excludes loopback and link-local addresses, and point-to-point links that aren't named like a VPN's.
    """
    states = psutil.net_if_stats() if states is None else states
    lan: list[LanAddress] = []
    others: set[OtherNetwork] = set()
    for interface, entries in (psutil.net_if_addrs() if addresses is None else addresses).items():
        state = states.get(interface)
        if state is None or _NEITHER.match(interface):
            continue
        # A bridge without a running container is down.
        if not state.isup and not _CONTAINERS.match(interface):
            continue
        if _CONTAINERS.match(interface):
            others.update(
                OtherNetwork(interface, "containers or virtual machines", str(shared.network))
                for entry in entries
                if (shared := _shared(interface, entry)) is not None
            )
        elif _VPN.match(interface):
            others.update(
                OtherNetwork(interface, "a VPN", network)
                for entry in entries
                if (network := _network_of_vpn(interface, entry)) is not None
            )
        elif not _POINT_TO_POINT & set(state.flags.split(",")):
            lan += [one for entry in entries if (one := _shared(interface, entry)) is not None]
    return Interfaces(sorted(lan, key=lambda one: (not one.is_private, one.address.version)), sorted(others))


def lan_addresses() -> list[LanAddress]:
    """Return this machine's addresses on its LANs."""
    return interfaces().lan


def _network_of_vpn(interface: str, entry: Any) -> str | None:
    shared = _shared(interface, entry)
    if shared is not None:
        return str(shared.network)
    if entry.family not in {socket.AF_INET, socket.AF_INET6}:
        return None
    address = parse_address(entry.address)
    if address.is_loopback or address.is_link_local:
        return None
    return next((str(network) for network in _TAILSCALE if address in network), str(address))


def _shared(interface: str, entry: Any) -> LanAddress | None:
    if entry.family not in {socket.AF_INET, socket.AF_INET6} or entry.ptp is not None:
        return None
    address = parse_address(entry.address)
    if address.is_loopback or address.is_link_local:
        return None
    network = ip_network(f"{address}/{_prefix_length(address, entry.netmask)}", strict=False)
    return None if network.num_addresses == 1 else LanAddress(interface, address, network)


def _prefix_length(address: Address, netmask: str | None) -> int:
    if netmask is None:  # Windows reports none for IPv6; a LAN's prefix has 64 bits (RFC 4291 section 2.5.4)
        return 64 if isinstance(address, IPv6Address) else 32
    return int(parse_address(netmask)).bit_count()


def has_ipv6() -> bool:
    """True if an interface other than loopback has an IPv6 address, even if only a link-local one."""
    return socket.has_dualstack_ipv6() and any(
        entry.family == socket.AF_INET6 and not parse_address(entry.address).is_loopback
        for entries in psutil.net_if_addrs().values()
        for entry in entries
    )


def host_for(networks: Sequence[LanAddress], *, ipv6: bool) -> str:
    """Return the address to listen on for clients in the private ones of these networks.

    IPv6 isn't used if one of the IPv6 networks isn't private. A client that resolves a name to several
    addresses would connect over that network and be refused; without an IPv6 listener it falls back to IPv4.
    """
    if not any(one.is_private for one in networks):
        return "127.0.0.1"
    has_other_ipv6 = any(one.network.version == 6 and not one.is_private for one in networks)
    return ANY if ipv6 and not has_other_ipv6 else ANY_IPV4


def local_name() -> str | None:
    """Return this machine's `name.local` if it seems to publish it over mDNS (RFC 6762)."""
    name = socket.gethostname().partition(".")[0]
    publishes = sys.platform in {"darwin", "win32"} or _AVAHI.exists()
    return f"{name.lower()}.local" if publishes and re.fullmatch(r"[A-Za-z0-9-]+", name) else None


def is_wsl() -> bool:
    """True in the Windows Subsystem for Linux (WSL)."""
    return sys.platform == "linux" and "microsoft" in platform.release().lower()


def is_container() -> bool:
    return any(sign.exists() for sign in _CONTAINER_SIGNS)
