"""Checks that the allowlist, the listening address and this machine's networks agree."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from ipaddress import ip_address, ip_network

from ...config import Config
from ...networks import Networks
from ..machine import LOOPBACK, LanAddress, Network
from .findings import Finding

_CHECK = "network"


def examine(
    config: Config, networks: Sequence[LanAddress], *, needs_key: bool, is_container: bool = False
) -> Iterator[Finding]:
    """Compare the allowlist with the listening address and with this machine's networks.

    A container has a network of its own, which no client may be on. Also report if web pages are refused,
    because the gateway has no key.
    """
    host, allowlist = config.server.host, config.network.ip_allowlist
    if is_loopback(host):
        yield from _loopback_only(host, allowlist)
    elif allowlist is None or allowlist.everybody:
        who = "Every client that reaches this machine" if needs_key or allowlist else "This machine only"
        yield Finding.ok(_CHECK, f"{who} may connect{', with a key' if needs_key else ''}.")
    else:
        yield from _restricted(allowlist, networks, is_container=is_container)
    if config.cors.origins is None and not needs_key:
        yield Finding.note(
            _CHECK,
            "There is no key, so web pages are refused, and apps that run as web pages, such as Obsidian.",
            'Make a key, or list their origins, which the log shows: cors.origins = ["app://obsidian.md"].',
        )


def is_loopback(host: str) -> bool:
    """True if only this machine can connect to this address."""
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _loopback_only(host: str, allowlist: Networks | None) -> Iterator[Finding]:
    others = [] if allowlist is None else [one for one in _parse(allowlist) if not one.is_loopback]
    if others or (allowlist is not None and allowlist.everybody):
        yield Finding.warning(
            _CHECK,
            f"network.ip_allowlist allows other machines, but they can't connect to {host}.",
            'Set server.host to "0.0.0.0", or to "::" for IPv6 and IPv4.',
        )
    else:
        yield Finding.ok(_CHECK, f"The gateway listens at {host}, so only this machine can connect.")


def _restricted(
    allowlist: Networks, networks: Sequence[LanAddress], *, is_container: bool
) -> Iterator[Finding]:
    allowed = _parse(allowlist)
    yield Finding.ok(_CHECK, f"Clients that may connect: {allowlist}.")
    if not any(network.is_loopback for network in allowed):
        yield Finding.warning(
            _CHECK,
            "network.ip_allowlist doesn't contain this machine, so its own browser and commands are refused.",
            f"Add {json.dumps(LOOPBACK)[1:-1]} to network.ip_allowlist.",
        )
    own = [one.network for one in networks if one.is_private]
    if own and not any(_overlap(network, one) for network in allowed for one in own):
        shown = ", ".join(map(str, own))
        if is_container:
            message = (
                f"Clients may seem to come from this container's own network, {shown}, and are then refused."
            )
            yield Finding.note(_CHECK, message, f"If they get 403, add {shown} to network.ip_allowlist.")
            return
        yield Finding.warning(
            _CHECK,
            f"network.ip_allowlist contains no network of this machine, which is now on {shown}.",
            f"If this machine has moved, add {shown} to network.ip_allowlist.",
        )


def _parse(allowlist: Networks) -> list[Network]:
    return [ip_network(entry, strict=False) for entry in allowlist.entries if entry != "*"]


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)
