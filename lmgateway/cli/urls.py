"""The gateway's base URLs, for this machine and for others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..config import Config
from ..networks import parse_address
from .machine import ANY, ANY_IPV4, LanAddress, local_name


def url_of(host: str, port: int, *, https: bool = False) -> str:
    """Return the base URL of a host and port."""
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"{'https' if https else 'http'}://{authority}"


def own_url(config: Config, port: int | None = None) -> str:
    """Return the gateway's base URL for clients on this machine. `port` is by default the configured one."""
    # localhost, because `::` accepts IPv4 and IPv6, and clients fall back to IPv4.
    host = {ANY_IPV4: "127.0.0.1", ANY: "localhost"}.get(config.server.host, config.server.host)
    return _url(config, host, port)


def lan_urls(config: Config, networks: Sequence[LanAddress], port: int | None = None) -> list[str]:
    """Return the base URLs at which other machines may connect to the gateway, in `networks`' order."""
    allowlist = config.network.ip_allowlist
    return [
        _url(config, str(one.address), port)
        for one in networks
        if _listens_at(config.server.host, one) and (allowlist is None or one.address in allowlist)
    ]


def named_url(config: Config, port: int | None = None) -> str | None:
    """Return the base URL with this machine's `.local` name, if it has one."""
    name = local_name()
    return _url(config, name, port) if name else None


def dashboards(config: Config, networks: Sequence[LanAddress], port: int, *, has_keys: bool) -> Iterator[str]:
    """Yield lines with the addresses to open in a browser, on this machine and on others that are served."""
    allowlist = config.network.ip_allowlist
    if allowlist is None or parse_address("127.0.0.1") in allowlist:
        yield f"Dashboard, on this machine: {own_url(config, port)}/dashboard"
    if config.protected and not has_keys:
        return
    urls = lan_urls(config, networks, port)
    named = named_url(config, port) if urls else None
    for url in [*urls, named] if named else urls:
        yield f"Dashboard, on other machines: {url}/dashboard"


def _url(config: Config, host: str, port: int | None) -> str:
    return url_of(host, config.server.port if port is None else port, https=bool(config.server.tls_cert))


def _listens_at(host: str, place: LanAddress) -> bool:
    return host in {ANY, str(place.address)} or (host == ANY_IPV4 and place.network.version == 4)
