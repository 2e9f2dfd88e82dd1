"""Whether those who may come in can, and those who can may."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from ipaddress import ip_address, ip_network

from ...config import Config
from ...networks import Networks
from ..machine import LOOPBACK, LanAddress, Network
from .findings import Finding

_CHECK = "network"


def examine(config: Config, networks: Sequence[LanAddress]) -> Iterator[Finding]:
    """Compare the allowlist with where the gateway listens and with this machine's own networks.

    Then look whether web pages are refused.
    """
    host, allowlist = config.server.host, config.network.ip_allowlist
    if is_loopback(host):
        yield from _loopback_only(host, allowlist)
    elif allowlist is None or allowlist.everybody:
        who = "Whoever reaches this machine" if config.auth.api_key or allowlist else "This machine alone"
        yield Finding.ok(_CHECK, f"{who} may come in{', with the key' if config.auth.api_key else ''}.")
    else:
        yield from _restricted(allowlist, networks)
    if config.cors.origins is None and not config.auth.api_key:
        yield Finding.note(
            _CHECK,
            "Web pages are refused while no key is set, and so are apps that are pages, such as Obsidian.",
            'List their origins, which the log names: cors.origins = ["app://obsidian.md"].',
        )


def is_loopback(host: str) -> bool:
    """Tell whether nobody but this machine reaches what listens there."""
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _loopback_only(host: str, allowlist: Networks | None) -> Iterator[Finding]:
    others = [] if allowlist is None else [one for one in _parse(allowlist) if not one.is_loopback]
    if others or (allowlist is not None and allowlist.everybody):
        yield Finding.warning(
            _CHECK,
            f"network.ip_allowlist names others than this machine, who can't reach the gateway at {host}.",
            'Set server.host to "0.0.0.0", or to "::" for IPv6 and IPv4.',
        )
    else:
        yield Finding.ok(_CHECK, f"The gateway is for this machine alone: it listens at {host}.")


def _restricted(allowlist: Networks, networks: Sequence[LanAddress]) -> Iterator[Finding]:
    allowed = _parse(allowlist)
    yield Finding.ok(_CHECK, f"These may come in: {allowlist}.")
    if not any(network.is_loopback for network in allowed):
        yield Finding.warning(
            _CHECK,
            "network.ip_allowlist leaves out this machine itself: its own browser and commands are refused.",
            f"Add {json.dumps(LOOPBACK)[1:-1]} to it.",
        )
    own = [one.network for one in networks if one.is_private]
    if own and not any(_overlap(network, one) for network in allowed for one in own):
        shown = ", ".join(map(str, own))
        yield Finding.warning(
            _CHECK,
            f"No network of this machine's is on network.ip_allowlist. It is on {shown} now.",
            f"If it has moved, add {shown}.",
        )


def _parse(allowlist: Networks) -> list[Network]:
    return [ip_network(entry, strict=False) for entry in allowlist.entries if entry != "*"]


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)
