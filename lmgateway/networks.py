"""IP addresses, sets of networks for the allowlist and the trusted proxies, and LM Studio's URL."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import NamedTuple

from yarl import URL

from .caching import cached_for_short

Address = IPv4Address | IPv6Address

# The lengths are those of RFC 1035 section 2.3.4; Python can't resolve longer names. Also matches addresses.
HOST = r"(?=.{1,253}\Z)([A-Za-z0-9_:%-]{1,63}\.)*[A-Za-z0-9_:%-]{1,63}\.?\Z"

# A hop of X-Forwarded-For: `10.0.0.1`, `10.0.0.1:4711`, `[2001:db8::1]:4711`.
_WITH_PORT = re.compile(r"(\[(?P<bracketed>[^\[\]]+)\]|(?P<bare>[^:]+))(:[0-9]{1,5})?\Z", re.ASCII)


@cached_for_short
def parse_address(text: str) -> Address:
    """Return the address that `text` names; an IPv4-mapped IPv6 address is that IPv4 address.

    A zone id (`fe80::1%eth0`) is left out, because it names an interface of this machine. Raises ValueError.
    """
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


class Network(NamedTuple):
    """A network, by the version of IP, the number of its host bits and the other bits of its addresses.

    One inside the IPv4-mapped IPv6 addresses is that IPv4 network.
    """

    version: int
    host_bits: int
    number: int


@cached_for_short
def parse_network(entry: str) -> Network:
    """Return the network that an address or CIDR network names. Raises ValueError."""
    # Not strict about host bits: 192.168.1.7/24 is the network of that machine.
    network = ip_network(entry, strict=False)
    address, length = network.network_address, network.prefixlen
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None and length >= 96:
        address, length = address.ipv4_mapped, length - 96
    host_bits = address.max_prefixlen - length
    return Network(address.version, host_bits, int(address) >> host_bits)


class Networks:
    """A set of networks that answers as fast for a thousand entries as for one.

    Entries are `*` (everybody), addresses or CIDR networks, of either family. Networks are grouped by prefix
    length, so that a look-up costs one hash probe for each length in use.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        """Raise ValueError that names the first bad entry."""
        self.entries = tuple(entry.strip() for entry in entries)
        self.everybody = "*" in self.entries
        self._prefixes: dict[tuple[int, int], set[int]] = {}
        for entry in self.entries:
            if entry != "*":
                self._add(entry)

    def _add(self, entry: str) -> None:
        try:
            network = parse_network(entry)
        except ValueError as exc:
            raise ValueError(f"{entry!r} is no address and no network") from exc
        self._prefixes.setdefault((network.version, network.host_bits), set()).add(network.number)

    def __contains__(self, address: Address) -> bool:
        if self.everybody:
            return True
        number = int(address)
        return any(
            number >> host_bits in prefixes
            for (version, host_bits), prefixes in self._prefixes.items()
            if version == address.version
        )

    def __bool__(self) -> bool:
        return bool(self.entries)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Networks) and self.entries == other.entries

    def __hash__(self) -> int:
        return hash(self.entries)

    def __str__(self) -> str:
        return ", ".join(self.entries)


class Allowlist(Networks):
    """The networks whose clients are accepted. An empty one is an error: it would reject everybody."""

    def __init__(self, entries: Iterable[str]) -> None:
        super().__init__(entries)
        if not self.entries:
            raise ValueError("it is empty")


class TrustedProxies(Networks):
    """Proxies whose X-Forwarded-For is trusted. `*` is an error: clients could then choose their address."""

    def __init__(self, entries: Iterable[str]) -> None:
        super().__init__(entries)
        if self.everybody:
            raise ValueError("'*' would let every client choose its own address")


def forwarded_client(peer: Address, forwarded_for: Iterable[str], trusted: Networks) -> Address | None:
    """Return the client's address behind the trusted proxies; None if no trusted proxy sent any.

    `forwarded_for` are the X-Forwarded-For field lines in the order received. They are used only from a
    trusted peer, and read from the right: each proxy appends its peer's address, and a client can forge
    everything further left. The search ends at the first untrusted address.

    Raises ValueError if it meets anything that isn't an address (`unknown`, RFC 7239 section 6.2): the client
    is unknown, and must not get the rights of the proxy that forwarded its request.
    """
    client: Address | None = None
    if peer not in trusted:
        return client
    hops = [hop.strip() for line in forwarded_for for hop in line.split(",")]
    for hop in reversed(hops):
        client = parse_address(_without_port(hop))
        if client not in trusted:
            return client
    return client


def _without_port(hop: str) -> str:
    match = _WITH_PORT.match(hop)
    return hop if match is None else match["bracketed"] or match["bare"]


def parse_base_url(text: object) -> URL:
    """Return LM Studio's URL. Its path, if any, is prepended to every forwarded path."""
    if not isinstance(text, str):
        raise ValueError("not text")  # noqa: TRY004 - msgspec turns a ValueError into its own
    # Not allowed in a URL; yarl would drop them silently.
    if re.search(r"[\s\x00-\x1f\x7f]", text):
        raise ValueError("contains blanks or control characters")
    url = URL(text)
    if url.scheme not in {"http", "https"} or not url.raw_host:
        raise ValueError("not an http:// or https:// URL")
    if re.match(HOST, url.raw_host) is None:
        raise ValueError("its host name is invalid")
    if url.user is not None or url.password is not None or url.raw_query_string or url.raw_fragment:
        raise ValueError("contains more than scheme, host, port and path")
    if url.raw_path.rstrip("/").endswith("/v1"):
        raise ValueError("ends in /v1, which each request adds")
    return url.with_path(url.raw_path.rstrip("/"), encoded=True)
